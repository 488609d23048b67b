//! A web server on loopback that serves an archive, and misbehaves where it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What goes wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The server answers with this status, so many times; then it is well.
    Status(u16, usize),
    /// The connection ends after so many bytes, so many times.
    Cut(usize, usize),
    /// One bit of the content is wrong, always.
    FlipBit,
}

#[derive(Debug, Default)]
struct World {
    files: BTreeMap<String, Vec<u8>>,
    faults: BTreeMap<String, Fault>,
    requests: Vec<String>,
}

/// The server. It ends with the test's process.
#[derive(Debug, Clone)]
pub struct Mirror {
    world: Arc<Mutex<World>>,
    address: String,
}

impl Mirror {
    /// Serves `files` on a free port of 127.0.0.1.
    pub fn serve(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let world = Arc::new(Mutex::new(World {
            files,
            ..World::default()
        }));
        let shared = Arc::clone(&world);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let world = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // A client that goes away is part of the game.
                    drop(answer(stream, &world));
                });
            }
        });
        Self { world, address }
    }

    /// Returns the base address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Replaces the files.
    pub fn replace(&self, files: BTreeMap<String, Vec<u8>>) {
        self.world.lock().expect("no panic while held").files = files;
    }

    /// Makes every path that contains `part` go wrong.
    pub fn fault(&self, part: &str, fault: Fault) {
        self.world
            .lock()
            .expect("no panic while held")
            .faults
            .insert(part.to_owned(), fault);
    }

    /// Heals all faults.
    pub fn heal(&self) {
        self.world
            .lock()
            .expect("no panic while held")
            .faults
            .clear();
    }

    /// Returns the requests so far for paths that contain `part`.
    pub fn requests(&self, part: &str) -> usize {
        self.world
            .lock()
            .expect("no panic while held")
            .requests
            .iter()
            .filter(|path| path.contains(part))
            .count()
    }
}

fn answer(stream: TcpStream, world: &Mutex<World>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut output = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line
            .split(' ')
            .nth(1)
            .unwrap_or("/")
            .trim_start_matches('/')
            .to_owned();
        let mut start = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(range) = header.to_ascii_lowercase().strip_prefix("range: bytes=") {
                start = range.trim().trim_end_matches('-').parse().unwrap_or(0);
            }
        }
        let (status, body, cut) = {
            let mut world = world.lock().expect("no panic while held");
            world.requests.push(path.clone());
            respond(&mut world, &path)
        };
        let body = body.get(start..).unwrap_or_default();
        let status = if status == 200 && start > 0 {
            206
        } else {
            status
        };
        write!(
            output,
            "HTTP/1.1 {status} Test\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )?;
        if let Some(cut) = cut {
            output.write_all(&body[..cut.min(body.len())])?;
            output.shutdown(std::net::Shutdown::Both)?;
            return Ok(());
        }
        output.write_all(body)?;
    }
}

fn respond(world: &mut World, path: &str) -> (u16, Vec<u8>, Option<usize>) {
    let Some(body) = world.files.get(path).cloned() else {
        return (404, Vec::new(), None);
    };
    let fault = world
        .faults
        .iter_mut()
        .find(|(part, _)| path.contains(part.as_str()))
        .map(|(_, fault)| fault);
    match fault {
        Some(Fault::Status(status, times)) if *times > 0 => {
            *times -= 1;
            (*status, Vec::new(), None)
        }
        Some(Fault::Cut(bytes, times)) if *times > 0 => {
            *times -= 1;
            (200, body, Some(*bytes))
        }
        Some(Fault::FlipBit) => {
            let mut body = body;
            let middle = body.len() / 2;
            body[middle] ^= 1;
            (200, body, None)
        }
        _ => (200, body, None),
    }
}
