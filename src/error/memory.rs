//! Numbers of bytes in messages.

/// A number of bytes as text, with a unit.
pub(super) fn in_words(bytes: usize) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes == usize::MAX {
        return "more bytes than can be counted".into();
    }
    if bytes < 10_240 {
        return format!("{bytes} bytes");
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1024.0, unit + 1);
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// The bytes needed and those allowed, in different words.
pub(super) fn needed(bytes: usize, limit: usize) -> String {
    match (in_words(bytes), in_words(limit)) {
        (need, most) if need == most => format!("{bytes} bytes needed, {limit} allowed"),
        (need, most) => format!("{need} needed, {most} allowed"),
    }
}

/// Advice to raise the limit to the bytes needed, rounded up.
pub(super) fn raised(bytes: usize) -> String {
    if bytes == usize::MAX {
        return String::new();
    }
    let bytes = in_shifts(bytes);
    format!(", or raise the limit with `bptt::set_memory_limit(Some({bytes}))`")
}

/// A number of bytes, rounded up to mebibytes or gibibytes, as in Rust.
pub(super) fn in_shifts(bytes: usize) -> String {
    let shift = if bytes < 1 << 30 { 20 } else { 30 };
    format!("{} << {shift}", bytes.div_ceil(1 << shift))
}
