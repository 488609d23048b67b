//! The board's side of the protocol.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Bus, Chip, Found, Transport};

/// What a board does after a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// It comes back with the next one.
    Returns,
    /// It does not come back.
    Dies,
    /// It begins again.
    Restarts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Rom,
    Files,
    Disk,
    Gone,
}

/// A board at a port.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) chip: Chip,
    pub(super) port: String,
    /// What the boot ROM answers to its second stage.
    pub(super) status: Option<i32>,
    pub(super) after: After,
    /// What it asks for: commands and names.
    pub(super) requests: VecDeque<(i32, String)>,
    /// What it was sent, message by message.
    pub(super) received: Vec<Vec<u8>>,
    /// Lengths that it was told.
    pub(super) announced: Vec<u32>,
    stage: Stage,
    next: Stage,
    /// So many looks it is away.
    away: u32,
}

impl Board {
    pub(super) fn new(chip: Chip, port: &str) -> Self {
        Self {
            chip,
            port: port.into(),
            status: Some(0),
            after: After::Returns,
            requests: VecDeque::new(),
            received: Vec::new(),
            announced: Vec::new(),
            stage: Stage::Rom,
            next: Stage::Rom,
            away: 0,
        }
    }

    pub(super) fn asks(mut self, requests: &[(i32, &str)]) -> Self {
        let requests = requests.iter();
        self.requests = requests
            .map(|(command, name)| (*command, (*name).into()))
            .collect();
        self
    }

    fn leave(&mut self, next: Stage) {
        self.next = match self.after {
            After::Returns => next,
            After::Dies => Stage::Gone,
            After::Restarts => Stage::Rom,
        };
        self.stage = Stage::Gone;
        self.away = 3;
    }

    fn look(&mut self) {
        if self.stage == Stage::Gone && self.away > 0 {
            self.away -= 1;
            if self.away == 0 {
                self.stage = self.next;
            }
        }
    }
}

/// A bus with boards.
#[derive(Debug)]
pub(super) struct Simulated {
    pub(super) boards: Vec<Rc<RefCell<Board>>>,
    began: Instant,
    passed: Duration,
}

impl Simulated {
    pub(super) fn new(boards: Vec<Board>) -> Self {
        let share = |board| Rc::new(RefCell::new(board));
        Self {
            boards: boards.into_iter().map(share).collect(),
            began: Instant::now(),
            passed: Duration::ZERO,
        }
    }
}

impl Bus for Simulated {
    fn boards(&mut self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for board in &self.boards {
            let mut board = board.borrow_mut();
            board.look();
            let serial_index = match board.stage {
                Stage::Rom => 3,
                Stage::Files => 1,
                Stage::Disk | Stage::Gone => continue,
            };
            found.push(Found {
                chip: board.chip,
                port: board.port.clone(),
                serial_index,
            });
        }
        Ok(found)
    }

    fn open(&mut self, found: &Found) -> io::Result<Box<dyn Transport>> {
        let board = self
            .boards
            .iter()
            .find(|board| board.borrow().port == found.port);
        let board = board.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Line(Rc::clone(board))))
    }

    fn has_disk(&mut self, port: &str) -> bool {
        let mut boards = self.boards.iter().map(|board| board.borrow());
        boards.any(|board| board.port == port && board.stage == Stage::Disk)
    }

    fn now(&mut self) -> Instant {
        self.began + self.passed
    }

    fn pause(&mut self) {
        self.passed += Duration::from_millis(500);
    }
}

struct Line(Rc<RefCell<Board>>);

impl Transport for Line {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut board = self.0.borrow_mut();
        if matches!(board.stage, Stage::Gone | Stage::Disk) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        board.received.push(bytes.to_vec());
        Ok(())
    }

    fn announce(&mut self, length: u32) -> io::Result<()> {
        self.0.borrow_mut().announced.push(length);
        Ok(())
    }

    fn settle(&mut self) {}

    fn receive(&mut self, length: usize, _: Duration) -> io::Result<Vec<u8>> {
        let mut board = self.0.borrow_mut();
        match board.stage {
            Stage::Rom => {
                assert_eq!(length, 4);
                let [head, code] = &board.received[board.received.len() - 2..] else {
                    panic!("a head and the second stage are sent");
                };
                assert_eq!(head.len(), 24);
                let told = u32::from_le_bytes(head[..4].try_into().unwrap());
                assert_eq!(usize::try_from(told).unwrap(), code.len());
                let status = board.status;
                if status.unwrap_or(0) == 0 {
                    board.leave(Stage::Files);
                }
                let status = status.ok_or(io::ErrorKind::NotConnected)?;
                Ok(status.to_le_bytes().to_vec())
            }
            Stage::Files => {
                assert_eq!(length, 260);
                let next = board.requests.pop_front();
                let (command, name) = next.unwrap_or((2, String::new()));
                if command == 2 {
                    board.leave(Stage::Disk);
                }
                let mut request = command.to_le_bytes().to_vec();
                request.extend(name.as_bytes());
                request.resize(260, 0);
                Ok(request)
            }
            Stage::Disk | Stage::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
