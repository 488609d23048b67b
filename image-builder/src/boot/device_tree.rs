//! What the firmware tells the kernel: a node in the flattened device tree (Devicetree Specification 0.4, chapter 5).

use std::io;

const MAGIC: u32 = 0xd00d_feed;
/// Length of the header of version 17, in bytes.
const HEADER: usize = 40;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOTHING: u32 = 4;
const END: u32 = 9;

fn bad(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the machine's device tree {what}"),
    )
}

fn word(bytes: &[u8], at: usize) -> io::Result<u32> {
    let bytes = bytes.get(at..at + 4).ok_or_else(|| bad("ends too early"))?;
    Ok(u32::from_be_bytes(bytes.try_into().expect("four bytes")))
}

fn part(bytes: &[u8], offset: u32, length: u32) -> io::Result<&[u8]> {
    let start = offset as usize;
    let end = start.checked_add(length as usize);
    end.and_then(|end| bytes.get(start..end))
        .ok_or_else(|| bad("has a part that is not inside of it"))
}

/// Returns the tree with the node `name` in `/chosen`, whose properties are big-endian words.
pub(super) fn with_chosen_node(
    tree: &[u8],
    name: &str,
    words: &[(&str, u32)],
) -> io::Result<Vec<u8>> {
    if word(tree, 0)? != MAGIC {
        return Err(bad("is none"));
    }
    let field = |index: usize| word(tree, index * 4);
    let nodes = part(tree, field(2)?, field(9)?)?;
    let strings = part(tree, field(3)?, field(8)?)?;
    let reserved = &tree[field(4)? as usize..];
    let pairs = reserved
        .chunks_exact(16)
        .position(|pair| pair.iter().all(|byte| *byte == 0));
    let reserved =
        &reserved[..(pairs.ok_or_else(|| bad("has no end of reserved memory"))? + 1) * 16];

    let at = end_of_chosen(nodes)?;
    let (mut node, mut strings) = (Vec::new(), strings.to_vec());
    node.extend(BEGIN_NODE.to_be_bytes());
    node.extend(name.as_bytes());
    node.push(0);
    node.resize(node.len().next_multiple_of(4), 0);
    for (name, value) in words {
        let place = u32::try_from(strings.len()).map_err(io::Error::other)?;
        strings.extend(name.as_bytes());
        strings.push(0);
        for word in [PROPERTY, 4, place, *value] {
            node.extend(word.to_be_bytes());
        }
    }
    node.extend(END_NODE.to_be_bytes());
    let nodes = [&nodes[..at], &node, &nodes[at..]].concat();

    let reserved_at = HEADER.next_multiple_of(8);
    let nodes_at = reserved_at + reserved.len();
    let strings_at = nodes_at + nodes.len();
    let total = strings_at + strings.len();
    let mut all = Vec::with_capacity(total);
    let lengths = [total, nodes_at, strings_at, reserved_at];
    all.extend(MAGIC.to_be_bytes());
    for length in lengths {
        all.extend(
            u32::try_from(length)
                .map_err(io::Error::other)?
                .to_be_bytes(),
        );
    }
    for index in 5..8 {
        all.extend(field(index)?.to_be_bytes());
    }
    for length in [strings.len(), nodes.len()] {
        all.extend(
            u32::try_from(length)
                .map_err(io::Error::other)?
                .to_be_bytes(),
        );
    }
    all.extend(reserved);
    all.extend(nodes);
    all.extend(strings);
    Ok(all)
}

/// Returns where the node `/chosen` ends.
fn end_of_chosen(nodes: &[u8]) -> io::Result<usize> {
    let (mut at, mut path) = (0, Vec::new());
    loop {
        let token = word(nodes, at)?;
        match token {
            BEGIN_NODE => {
                let name = nodes
                    .get(at + 4..)
                    .and_then(|rest| rest.split(|byte| *byte == 0).next());
                let name = name.ok_or_else(|| bad("ends too early"))?;
                path.push(name);
                at = (at + 4 + name.len() + 1).next_multiple_of(4);
            }
            END_NODE => {
                if path == [&b""[..], b"chosen"] {
                    return Ok(at);
                }
                path.pop();
                at += 4;
            }
            PROPERTY => {
                let length = word(nodes, at + 4)? as usize;
                at = at
                    .checked_add(12 + length)
                    .ok_or_else(|| bad("ends too early"))?
                    .next_multiple_of(4);
            }
            NOTHING => at += 4,
            END => return Err(bad("has no node /chosen")),
            _ => return Err(bad("has a token that is unknown")),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "dtc and fdtget are the judges")]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn fdtget_reads_the_words() {
        let folder = tempfile::tempdir().unwrap();
        let (source, tree) = (folder.path().join("a.dts"), folder.path().join("a.dtb"));
        let text = "/dts-v1/; /memreserve/ 0x1000 0x2000; / { compatible = \"x\"; memory { device_type = \"memory\"; chosen { a; }; };\
                    chosen { bootargs = \"quiet\"; inner { b = <1>; }; }; last { c = <3>; }; };";
        fs_err::write(&source, text).unwrap();
        let made = Command::new("dtc")
            .args(["-I", "dts", "-O", "dtb", "-q", "-o"])
            .args([&tree, &source])
            .status();
        assert!(
            made.expect("dtc is installed by scripts/prepare test")
                .success()
        );
        let before = fs_err::read(&tree).unwrap();
        let after =
            with_chosen_node(&before, "bootloader", &[("partition", 3), ("tryboot", 1)]).unwrap();
        fs_err::write(&tree, &after).unwrap();
        let get = |node: &str, property: &str| {
            let output = Command::new("fdtget")
                .arg(&tree)
                .args([node, property])
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        assert_eq!(get("/chosen/bootloader", "partition"), "3");
        assert_eq!(get("/chosen/bootloader", "tryboot"), "1");
        assert_eq!(
            (
                get("/chosen", "bootargs"),
                get("/last", "c"),
                get("/chosen/inner", "b")
            ),
            ("quiet".into(), "3".into(), "1".into())
        );
        // Every cut is an error and no panic.
        for length in 0..before.len() {
            drop(with_chosen_node(&before[..length], "x", &[]));
        }
    }
}
