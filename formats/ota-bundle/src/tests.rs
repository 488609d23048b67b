use std::io::Cursor;

use content_digest::Sha256Digest;
use proptest::prelude::*;

use super::*;

fn pack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, 3)
}

fn draft() -> Draft {
    Draft {
        product: "kvm".into(),
        version: "1.2.3".into(),
        created: 1_700_000_000,
        rollback_index: 4,
        boards: vec!["raspberrypi,4-model-b".into()],
        disk: 0x00c0_ffee,
        notes: Some("New: everything.".into()),
    }
}

/// Text, zeros, noise, and a rest.
fn root_image() -> Vec<u8> {
    let mut image = b"a line of text\n".repeat(SEGMENT as usize / 15 + 1);
    image.truncate(SEGMENT as usize);
    image.resize(2 * SEGMENT as usize, 0);
    let mut noise = 1_u32;
    image.extend((0..SEGMENT + 4096).map(|_| {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        noise as u8
    }));
    image
}

fn verity(length: usize) -> Verity {
    Verity {
        data_blocks: length as u64 / 4096 - 3,
        salt: "07".repeat(32),
        root: Sha256Digest::of("root"),
    }
}

fn bundle() -> Vec<u8> {
    let (root, boot) = (root_image(), b"boot".repeat(500));
    let mut writer = Writer::new(Cursor::new(Vec::new()));
    let length = root.len() as u64;
    writer
        .image(
            Kind::Root,
            (length, length * 2),
            Some(verity(root.len())),
            &mut &root[..],
            pack,
        )
        .unwrap();
    writer
        .image(
            Kind::Boot,
            (boot.len() as u64, 1 << 20),
            None,
            &mut &boot[..],
            pack,
        )
        .unwrap();
    let mut bytes = Vec::new();
    writer
        .finish(draft(), &mut bytes, |_| Ok(b"trust".to_vec()))
        .unwrap();
    bytes
}

fn metadata(bytes: &[u8]) -> usize {
    usize::try_from(
        Head::from_bytes(bytes.first_chunk().unwrap())
            .unwrap()
            .metadata(),
    )
    .unwrap()
}

fn vouched(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest::of(Bundle::read(bytes).unwrap().manifest_bytes())
}

#[test]
fn what_is_written_reads_back() {
    let bytes = bundle();
    assert_eq!(bytes, bundle(), "the same bytes each time");
    let read = Bundle::read(&bytes[..metadata(&bytes)]).unwrap();
    assert_eq!(read.trust(), b"trust");
    assert_eq!(read.length(), bytes.len() as u64);
    let verified = read.verify(vouched(&bytes)).unwrap();
    assert_eq!(verified.manifest().version, "1.2.3");
    let mut kinds = Vec::new();
    for (kind, image) in [
        (Kind::Root, root_image()),
        (Kind::Boot, b"boot".repeat(500)),
    ] {
        let (mut whole, mut plain) = (Vec::new(), Vec::new());
        for segment in verified.segments(kind) {
            let stored = &bytes[segment.offset as usize..][..segment.stored as usize];
            segment.unpack(stored, &mut plain).unwrap();
            assert_eq!(segment.place, whole.len() as u64);
            whole.extend_from_slice(&plain);
            kinds.push(segment.kind());
        }
        assert_eq!(whole, image);
        assert_eq!(
            verified.manifest().image(kind).sha256,
            Sha256Digest::of(&image)
        );
    }
    assert_eq!(
        kinds,
        [
            Stored::Zstd,
            Stored::Zeros,
            Stored::Plain,
            Stored::Plain,
            Stored::Zstd
        ]
    );
}

#[test]
fn every_changed_bit_of_what_is_vouched_for_is_refused() {
    let mut bytes = bundle();
    let end = metadata(&bytes);
    bytes.truncate(end);
    let vouched = vouched(&bytes);
    let trust = HEAD_LENGTH..HEAD_LENGTH + 5;
    let mut refused = 0;
    for at in (0..end).filter(|at| !trust.contains(at)) {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let read = Bundle::read(&bytes).and_then(|bundle| bundle.verify(vouched));
            assert!(read.is_err(), "byte {at}, bit {bit}");
            bytes[at] ^= 1 << bit;
            refused += 1;
        }
    }
    assert!(refused > 8 * 1000);
    assert!(Bundle::read(&bytes).unwrap().verify(vouched).is_ok());
}

#[test]
fn another_trust_section_changes_nothing_else() {
    let bytes = bundle();
    let mut copy = Vec::new();
    with_trust(&mut Cursor::new(&bytes), b"somebody else", &mut copy).unwrap();
    let read = Bundle::read(&copy).unwrap();
    assert_eq!(read.trust(), b"somebody else");
    let verified = read.verify(vouched(&bytes)).unwrap();
    let segment = verified.segments(Kind::Boot)[0];
    let mut plain = Vec::new();
    segment
        .unpack(
            &copy[segment.offset as usize..][..segment.stored as usize],
            &mut plain,
        )
        .unwrap();
}

#[test]
fn every_cut_is_refused() {
    let bytes = bundle();
    for length in 0..metadata(&bytes) {
        assert!(Bundle::read(&bytes[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_damaged_segment_is_told_and_a_bomb_stays_small() {
    let bytes = bundle();
    let verified = Bundle::read(&bytes)
        .unwrap()
        .verify(vouched(&bytes))
        .unwrap();
    let mut plain = Vec::new();
    for segment in verified.segments(Kind::Root) {
        let mut stored = bytes[segment.offset as usize..][..segment.stored as usize].to_vec();
        for at in [0, stored.len() / 2, stored.len().saturating_sub(1)] {
            if let Some(byte) = stored.get_mut(at) {
                *byte ^= 4;
                assert!(segment.unpack(&stored, &mut plain).is_err());
            }
            if let Some(byte) = stored.get_mut(at) {
                *byte ^= 4;
            }
        }
        segment.unpack(&stored, &mut plain).unwrap();
    }
    // A frame that unpacks to a gigabyte, in the place of one of a mebibyte.
    let bomb = zstd::bulk::compress(&vec![0; 1 << 30], 3).unwrap();
    let segment = Segment {
        stored: u32::try_from(bomb.len()).unwrap(),
        ..verified.segments(Kind::Root)[0]
    };
    assert!(segment.unpack(&bomb, &mut plain).is_err());
    assert!(
        plain.capacity() <= 4 * SEGMENT as usize,
        "{}",
        plain.capacity()
    );
    // Frames one after the other count as one too many.
    let two = [pack(&[1; 100]).unwrap(), pack(&[1; 100]).unwrap()].concat();
    let segment = Segment {
        stored: u32::try_from(two.len()).unwrap(),
        length: 200,
        id: Sha256Digest::of([1; 200]),
        ..segment
    };
    assert!(segment.unpack(&two, &mut plain).is_err());
}

#[test]
fn contradictions_are_refused_though_somebody_vouched() {
    let bytes = bundle();
    let text = String::from_utf8(Bundle::read(&bytes).unwrap().manifest_bytes().to_vec()).unwrap();
    let length = root_image().len();
    for (from, to) in [
        ("\"format\": 1", "\"format\": 2"),
        ("\"kind\": \"root\"", "\"kind\": \"boot\""),
        ("\"disk\": \"00c0ffee\"", "\"disk\": \"../../etc\""),
        (
            &format!("\"data-blocks\": {}", length / 4096 - 3),
            "\"data-blocks\": 99999999",
        ),
        (
            &format!("\"length\": {length}"),
            &format!("\"length\": {}", length + 1),
        ),
        (&"07".repeat(32), "07"),
    ] {
        assert!(text.contains(from), "{from}");
        let changed = text.replacen(from, to, 1);
        let mut head = Head::from_bytes(bytes.first_chunk().unwrap()).unwrap();
        head.manifest = u32::try_from(changed.len()).unwrap();
        let rest = &bytes[HEAD_LENGTH + 5 + text.len()..];
        let whole = [&head.to_bytes()[..], b"trust", changed.as_bytes(), rest].concat();
        let error = Bundle::read(&whole)
            .unwrap()
            .verify(Sha256Digest::of(&changed));
        assert!(error.is_err(), "{to}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), is_headed: bool) {
        let mut bytes = bytes;
        if is_headed {
            let head = Head { trust: 3, manifest: 40, tables: 80, segments: 5 };
            bytes.splice(0..0, head.to_bytes());
        }
        if let Ok(bundle) = Bundle::read(&bytes) {
            let vouched = Sha256Digest::of(bundle.manifest_bytes());
            drop(bundle.verify(vouched));
        }
    }
}
