//! Characters that cannot be seen, or that look like others: full-width signs, accents, letters of other alphabets.

/// The ASCII sign of a full-width or Chinese one.
pub(super) fn ascii_of(c: char) -> Option<char> {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '、' => Some(','),
        '。' => Some('.'),
        '【' | '〔' => Some('['),
        '】' | '〕' => Some(']'),
        '“' | '”' => Some('"'),
        _ => None,
    }
}

/// Returns true for accents that are drawn over the character before them.
pub(super) const fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// A character by its code point, with the names of the common ones.
pub(super) fn code_point(c: char) -> String {
    let name = match c {
        '\u{ad}' => " (soft hyphen)",
        '\u{200b}' => " (zero width space)",
        '\u{200c}' => " (zero width non-joiner)",
        '\u{200d}' => " (zero width joiner)",
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            " (direction of writing)"
        }
        '\u{2060}' => " (word joiner)",
        '\u{feff}' => " (byte order mark)",
        _ => "",
    };
    format!("U+{:04X}{name}", u32::from(c))
}

/// Accents, letters without and letters with them.
const COMPOSED: &[(char, &str, &str)] = &[
    ('\u{300}', "aeiouAEIOU", "àèìòùÀÈÌÒÙ"),
    ('\u{301}', "aeiouyAEIOUY", "áéíóúýÁÉÍÓÚÝ"),
    ('\u{302}', "aeiouAEIOU", "âêîôûÂÊÎÔÛ"),
    ('\u{303}', "anoANO", "ãñõÃÑÕ"),
    ('\u{308}', "aeiouAEIOU", "äëïöüÄËÏÖÜ"),
    ('\u{30a}', "aA", "åÅ"),
    ('\u{30c}', "cszCSZ", "čšžČŠŽ"),
    ('\u{327}', "cC", "çÇ"),
];

/// The spelling of a letter and an accent as one name.
pub(super) fn spelling(letter: char, accent: char) -> String {
    let composed = COMPOSED.iter().find(|(a, ..)| *a == accent);
    let composed = composed.and_then(|(_, letters, composed)| {
        let place = letters.chars().position(|l| l == letter)?;
        composed.chars().nth(place)
    });
    if let Some(c) = composed {
        return format!("write `{c}` as one character, {}", code_point(c));
    }
    let word = match accent {
        '\u{302}' => "hat",
        '\u{303}' => "tilde",
        '\u{307}' => "dot",
        '\u{308}' => "ddot",
        '\u{20d7}' => "vec",
        _ => "bar",
    };
    format!("write it as part of the name, such as `{letter}_{word}`")
}

/// The Latin or Greek letter that a character looks like.
const fn look(c: char) -> char {
    match c {
        'µ' => 'μ',
        '\u{2126}' => 'Ω',
        '\u{212a}' | 'К' | 'Κ' => 'K',
        'а' => 'a',
        'с' => 'c',
        'е' => 'e',
        'і' => 'i',
        'ј' => 'j',
        'о' | 'ο' => 'o',
        'р' | 'ρ' => 'p',
        'ѕ' => 's',
        'ν' => 'v',
        'х' | 'χ' => 'x',
        'у' => 'y',
        'А' | 'Α' => 'A',
        'В' | 'Β' => 'B',
        'С' => 'C',
        'Е' | 'Ε' => 'E',
        'Ζ' => 'Z',
        'Н' | 'Η' => 'H',
        'І' | 'Ι' => 'I',
        'М' | 'Μ' => 'M',
        'Ν' => 'N',
        'О' | 'Ο' => 'O',
        'Р' | 'Ρ' => 'P',
        'Ѕ' => 'S',
        'Т' | 'Τ' => 'T',
        'Υ' => 'Y',
        'Х' | 'Χ' => 'X',
        '\u{ff01}'..='\u{ff5e}' => match char::from_u32(c as u32 - 0xfee0) {
            Some(ascii) => ascii,
            None => c,
        },
        c => c,
    }
}

/// A hint at a known name that looks the same as an unknown one.
pub(super) fn look_alike<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    let same = |other: &&str| *other != name && name.chars().map(look).eq(other.chars().map(look));
    let other = known.into_iter().find(same)?;
    let (a, b) = name.chars().zip(other.chars()).find(|(a, b)| a != b)?;
    Some(format!(
        "it only looks like `{other}`: `{a}` is {} here and {} there",
        code_point(a),
        code_point(b)
    ))
}
