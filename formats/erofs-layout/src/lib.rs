//! Gives the files of an EROFS image places that hardly depend on each other's sizes, so that what an update leaves alone is not
//! written again. In: an image that `mkfs.erofs` made, which packs file behind file, and to which group each file belongs; out: the
//! same files elsewhere. Compresses nothing anew.
//!
//! On disk: Linux `fs/erofs/erofs_fs.h` and Documentation/filesystems/erofs.rst. What other options of `mkfs.erofs` would make is
//! refused and not guessed at.

mod image;
mod inode;
mod places;
#[cfg(test)]
mod tests;
mod write;

use std::fs::File;
use std::io;

/// Size of a block in bytes.
pub const BLOCK: u64 = 4096;

/// An image cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// It cannot be read or written.
    #[error("cannot read or write the file system")]
    Io(#[from] io::Error),
    /// It is no EROFS, or a damaged one.
    #[error("the file system is damaged: {what}")]
    Damaged {
        /// Where, and what is wrong.
        what: String,
    },
    /// It uses what is not known here.
    #[error("the file system uses what cannot be moved: {what}")]
    Unknown {
        /// What.
        what: String,
    },
}

/// Copies the image in `from` to the empty file `to` with every file in the place of its group. `group` names the group of a path,
/// which begins with a slash; of a file with several names it is asked for the first. Returns the length in bytes.
pub fn lay_out(
    from: &File,
    to: &File,
    group: &mut dyn FnMut(&[u8]) -> String,
) -> Result<u64, LayoutError> {
    let image = image::Image::read(from)?;
    write::write(&image, from, to, group)
}
