//! Writing a map.

use std::fmt::Write as _;

use content_digest::Sha256Digest;

use crate::BLOCK;

/// Writes the map. `ranges` are whole blocks, `digests` theirs.
pub fn write(image_size: u64, ranges: &[(u64, u64)], digests: &[Sha256Digest]) -> String {
    let mapped: u64 = ranges
        .iter()
        .map(|(_, length)| length.div_ceil(BLOCK))
        .sum();
    let unknown = "0".repeat(64);
    let mut text = format!(
        "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    <ImageSize> {image_size} </ImageSize>\n    \
         <BlockSize> {BLOCK} </BlockSize>\n    <BlocksCount> {} </BlocksCount>\n    \
         <MappedBlocksCount> {mapped} </MappedBlocksCount>\n    <ChecksumType> sha256 </ChecksumType>\n    \
         <BmapFileChecksum> {unknown} </BmapFileChecksum>\n    <BlockMap>\n",
        image_size.div_ceil(BLOCK)
    );
    for ((start, length), digest) in ranges.iter().zip(digests) {
        let (first, last) = (start / BLOCK, (start + length).div_ceil(BLOCK) - 1);
        let blocks = if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        };
        writeln!(
            text,
            "        <Range chksum=\"{digest}\"> {blocks} </Range>"
        )
        .expect("strings take everything");
    }
    text.push_str("    </BlockMap>\n</bmap>\n");
    // The file's own digest is taken while the field holds zeros.
    let digest = Sha256Digest::of(&text);
    text.replacen(&unknown, &digest.to_string(), 1)
}
