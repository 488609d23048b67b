//! Claim codes that programs make.

use crate::wi_fi::Hidden;

/// Letters and digits that are not mistaken for one another on a small screen.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// Characters of a group: people read and type them by four.
const GROUP: usize = 4;

/// Random bytes of a code: five bits of each count, 60 in all, beyond guessing over a network.
pub const CLAIM_RANDOM: usize = 12;

/// Makes a code of three groups, such as `7KQX-M2PA-9TRC`.
pub fn claim_code(random: [u8; CLAIM_RANDOM]) -> Hidden {
    let letters: Vec<char> = random
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect();
    let groups: Vec<String> = letters
        .chunks(GROUP)
        .map(|group| group.iter().collect())
        .collect();
    Hidden::new(groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_three_groups_and_is_one_that_a_device_takes() {
        let code = claim_code([0, 31, 32, 255, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(code.reveal(), "2Z2Z-6789-ABCD");
        assert!(crate::settings::claim_code(&code).is_ok());
    }
}
