//! The canonical form of questions, in which equal questions are equal strings.

/// The most characters of a message that are compared.
const MAX_CHARACTERS: usize = 400;

/// Returns the canonical form of a question: lower case, only letters and digits, one space between words.
///
/// Only the first 400 characters count, and nothing after a NUL character, which ends a string in SQLite. The result
/// is empty if the text has no words.
pub fn normalize(text: &str) -> String {
    let mut normal = String::with_capacity(text.len().min(MAX_CHARACTERS));
    let counted = text.chars().take_while(|letter| *letter != '\0').take(MAX_CHARACTERS);
    for letter in counted {
        // Most letters of most texts, without a search of the tables of all letters.
        if letter.is_ascii() {
            add(&mut normal, letter.to_ascii_lowercase());
        } else {
            letter.to_lowercase().for_each(|letter| add(&mut normal, letter));
        }
    }
    normal.truncate(normal.trim_end().len());
    normal
}

/// Adds a letter of the text in lower case.
fn add(normal: &mut String, letter: char) {
    if letter.is_alphanumeric() {
        normal.push(letter);
    } else if !matches!(letter, '\'' | '’') && !normal.ends_with(' ') && !normal.is_empty() {
        normal.push(' ');
    }
}

/// Returns a hash of the canonical form, or `None` if the text has no words.
///
/// The hash is stored, so it is the same on every machine and in every version (FNV-1a, 64 bits).
pub fn key(text: &str) -> Option<i64> {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let normal = normalize(text);
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    (!normal.is_empty()).then(|| normal.bytes().fold(BASIS, mix).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_questions_have_one_form_and_one_key() {
        for text in ["Where's my order?", "wheres   my ORDER", "  Where’s my order!!! "] {
            assert_eq!(normalize(text), "wheres my order");
            assert_eq!(key(text), key("wheres my order"));
        }
        assert_eq!(normalize("Wo ist Größe 42?"), "wo ist größe 42");
        assert_ne!(key("Größe 42"), key("Größe 43"));
        assert_eq!((normalize("?!"), key("?!")), (String::new(), None));
        assert_eq!(normalize("👍 ok"), "ok");
    }

    #[test]
    fn only_the_beginning_of_a_long_text_counts() {
        let long = |end: &str| "ä".repeat(MAX_CHARACTERS) + end;
        assert_eq!(key(&long("x")), key(&long("y")));
    }

    /// The test vector of the published algorithm: a stored key must never change.
    #[test]
    fn a_key_is_fnv_1a() {
        assert_eq!(key("foobar").map(i64::cast_unsigned), Some(0x8594_4171_f739_67e8));
    }
}
