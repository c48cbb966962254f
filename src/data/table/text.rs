//! The text of a table: UTF-8, UTF-16 or, if it is neither, Windows-1252, which contains Latin-1.

use std::borrow::Cow;

/// The characters of the bytes 0x80 to 0x9f in Windows-1252; bytes without a character stand for themselves.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The text of a file, and a note if its encoding is a guess.
pub(super) fn decode(bytes: &[u8]) -> Result<(Cow<'_, str>, Option<String>), String> {
    let wide = match bytes {
        [0xff, 0xfe, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xfe, 0xff, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        // The first sign of a table is rarely beyond ASCII, so that one of its two bytes is zero.
        [1..=255, 0, ..] => Some((bytes, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0, 1..=255, ..] => Some((bytes, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    if let Some((bytes, of)) = wide {
        let (units, rest) = bytes.as_chunks::<2>();
        let text = char::decode_utf16(units.iter().map(|unit| of(*unit))).collect::<Result<_, _>>();
        return match text {
            Ok(text) if rest.is_empty() => Ok((Cow::Owned(text), None)),
            _ => Err("is damaged text in UTF-16; save it as `CSV UTF-8`".into()),
        };
    }
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok((text.strip_prefix('\u{feff}').unwrap_or(text).into(), None)),
        Err(error) => error,
    };
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(format!(
            "is not text: byte {at} is zero; save it as `CSV UTF-8`"
        ));
    }
    let sign = |byte: &u8| match byte {
        0x80..=0x9f => WINDOWS[usize::from(byte - 0x80)],
        byte => char::from(*byte),
    };
    let at = error.valid_up_to();
    let note = format!("byte {at} is not UTF-8, so the text is read as Latin-1 (Windows-1252)");
    Ok((
        bytes.iter().map(sign).collect::<String>().into(),
        Some(note),
    ))
}

/// True for a file whose text takes more memory than its bytes.
pub(super) fn is_widened(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err()
}
