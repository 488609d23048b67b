use std::path::Path;

use super::simulator::{After, Board, Simulated};
use super::*;

/// A folder as Raspberry Pi's is: an archive with a folder for each chip, and files beside it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    put("bootcode.bin", "the second stage of old ones");
    put("2711/bootcode4.bin", "the second stage of 4");
    put("config.txt", "for all");
    put("1-1.4/config.txt", "for one port");
    put("2712/config.txt", "for 5");
    put("empty.bin", "");
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in [
        ("2712/bootcode5.bin", "the second stage of 5"),
        ("2711/mcb.bin", "of 4, in the archive"),
        ("start.elf", "of all, in the archive"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, text.as_bytes())
            .unwrap();
    }
    fs_err::write(
        folder.path().join("bootfiles.bin"),
        archive.into_inner().unwrap(),
    )
    .unwrap();
    folder
}

fn run(board: Board, folder: &Path) -> (Result<Facts, SessionError>, Simulated, Vec<State>) {
    let port = board.port.clone();
    let mut bus = Simulated::new(vec![board]);
    let files = BootFiles::open(folder).unwrap();
    let mut states = Vec::new();
    let outcome = boot(&mut bus, &port, &files, &mut |state| states.push(state));
    (outcome, bus, states)
}

#[test]
fn every_board_gets_what_it_asks_for_and_shows_its_disk() {
    let folder = folder();
    for (chip, code) in [
        (Chip::Bcm2835, "the second stage of old ones"),
        (Chip::Bcm2837, "the second stage of old ones"),
        (Chip::Bcm2711, "the second stage of 4"),
        (Chip::Bcm2712, "the second stage of 5"),
    ] {
        let board = Board::new(chip, "1-1.2").asks(&[
            (0, "*SERIAL_NUM*10000000abcdef01"),
            (0, "config.txt"),
            (1, "config.txt"),
            (0, "missing.bin"),
            (1, "missing.bin"),
            (1, "start.elf"),
        ]);
        let (outcome, bus, states) = run(board, folder.path());
        let facts = outcome.unwrap();
        assert_eq!(facts["SERIAL_NUM"], "10000000abcdef01");
        let board = bus.boards[0].borrow();
        let config = if chip == Chip::Bcm2712 {
            "for 5"
        } else {
            "for all"
        };
        assert_eq!(board.received[1], code.as_bytes(), "{chip}");
        let after: Vec<&[u8]> = board.received[2..].iter().map(Vec::as_slice).collect();
        assert_eq!(
            after,
            [&b""[..], config.as_bytes(), b"", b"of all, in the archive"]
        );
        assert_eq!(board.announced, [u32::try_from(config.len()).unwrap(), 0]);
        assert_eq!(
            (states.first(), states.last()),
            (Some(&State::SecondStage), Some(&State::Disk))
        );
        assert!(states.contains(&State::File("missing.bin".into(), None)));
    }
}

#[test]
fn a_port_has_files_of_its_own_and_no_name_leads_out() {
    let folder = folder();
    let files = BootFiles::open(folder.path()).unwrap();
    let find = |name: &str, port: &str| {
        let found = files.find(name, Chip::Bcm2711, port).unwrap();
        found.map(|bytes| String::from_utf8(bytes).unwrap())
    };
    assert_eq!(find("config.txt", "1-1.4").as_deref(), Some("for one port"));
    assert_eq!(find("config.txt", "1-1.3").as_deref(), Some("for all"));
    assert_eq!(
        find("mcb.bin", "1-1.3").as_deref(),
        Some("of 4, in the archive")
    );
    for bad in [
        "../outside",
        "/etc/passwd",
        "2711/../../outside",
        "",
        ".",
        "a//b",
        "2711",
    ] {
        assert_eq!(find(bad, "1-1.4"), None, "{bad}");
    }
    assert_eq!(find("outside", ".."), None);
}

#[test]
fn new_chips_may_leave_without_a_word_and_old_ones_may_not() {
    let folder = folder();
    let silent = |chip| {
        let mut board = Board::new(chip, "1-1");
        board.status = None;
        run(board, folder.path()).0
    };
    assert!(silent(Chip::Bcm2711).is_ok() && silent(Chip::Bcm2712).is_ok());
    assert!(matches!(
        silent(Chip::Bcm2837),
        Err(SessionError::Protocol { .. })
    ));
}

#[test]
fn what_goes_wrong_is_told_with_the_state_of_the_board() {
    let folder = folder();
    let error = |board: Board| {
        let error = run(board, folder.path()).0.unwrap_err();
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            text.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        text
    };
    let mut refusing = Board::new(Chip::Bcm2711, "1-1");
    refusing.status = Some(7);
    assert!(error(refusing).contains("refuses the second stage (status 7)"));
    let mut dying = Board::new(Chip::Bcm2712, "1-1");
    dying.after = After::Dies;
    let text = error(dying);
    assert!(
        text.contains("last seen starting the second stage"),
        "{text}"
    );
    let mut circling = Board::new(Chip::Bcm2712, "1-1");
    circling.after = After::Restarts;
    assert!(error(circling).contains("again and again"));
    let strange = Board::new(Chip::Bcm2711, "1-1").asks(&[(9, "x")]);
    assert!(error(strange).contains("command 9"));
    let endless: Vec<(i32, &str)> = vec![(1, "config.txt"); 10_001];
    let endless = Board::new(Chip::Bcm2711, "1-1").asks(&endless);
    assert!(error(endless).contains("without end"));

    let mut bus = Simulated::new(vec![Board::new(Chip::Bcm2711, "1-1")]);
    let files = BootFiles::open(folder.path()).unwrap();
    let text = boot(&mut bus, "1-2", &files, &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(text.contains("nRPIBOOT") && text.contains("1-2"), "{text}");
    assert!(
        bus.boards[0].borrow().received.is_empty(),
        "another board was touched"
    );
}

#[test]
fn no_file_is_taken_in_place_of_a_missing_second_stage() {
    let folder = tempfile::tempdir().unwrap();
    // The trap of usbboot: files of another kind of board lie there.
    fs_err::write(folder.path().join("bootcode.bin"), "of another").unwrap();
    let (outcome, bus, _) = run(Board::new(Chip::Bcm2711, "1-1"), folder.path());
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("bootcode4.bin"), "{text}");
    assert!(
        bus.boards[0].borrow().received.is_empty(),
        "something was sent"
    );
}
