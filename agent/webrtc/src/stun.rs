//! The name in a STUN binding request, by which its viewer is found (RFC 8489, §5, §14; RFC 8445, §7.1.1).

/// Length of the header.
const HEADER: usize = 20;
/// In bytes 4 to 8 of every message.
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// The message that asks whether a path works.
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
/// The attribute with both ends' names: that of the receiver, a colon, that of the sender.
const USERNAME: [u8; 2] = [0x00, 0x06];

/// Returns the receiver's name of a binding request. Nothing if this is another message, or none.
pub fn receiver(packet: &[u8]) -> Option<&str> {
    let (header, mut rest) = packet.split_at_checked(HEADER)?;
    if header[..2] != BINDING_REQUEST || header[4..8] != MAGIC_COOKIE {
        return None;
    }
    while let Some((attribute, after)) = rest.split_at_checked(4) {
        let length = usize::from(u16::from_be_bytes([attribute[2], attribute[3]]));
        let value = after.get(..length)?;
        if attribute[..2] == USERNAME {
            let (receiver, _) = std::str::from_utf8(value).ok()?.split_once(':')?;
            return Some(receiver);
        }
        // Attributes are padded to four bytes.
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(attributes.len()).unwrap().to_be_bytes();
        let head = [&BINDING_REQUEST[..], &length, &MAGIC_COOKIE, &[7; 12]].concat();
        [&head[..], attributes].concat()
    }

    #[test]
    fn the_receiver_is_what_stands_before_the_colon() {
        // An attribute of one byte with its padding comes first.
        let attributes = b"\x80\x2a\x00\x01x\0\0\0\x00\x06\x00\x09abcd:wxyz\0\0\0";
        assert_eq!(receiver(&request(attributes)), Some("abcd"));
        assert_eq!(receiver(&request(b"\x00\x06\x00\x04abcd")), None);
        assert_eq!(receiver(&request(b"\x00\x06\x00\x09abcd:wx")), None);
        assert_eq!(receiver(b"\x16\x03\x01"), None);
    }

    proptest! {
        #[test]
        fn any_packet_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _receiver = receiver(&request(&bytes));
            let _receiver = receiver(&bytes);
        }
    }
}
