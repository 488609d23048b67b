//! The layout `ab`: two slots, of which the image fills the first, and a data partition.

use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use boot_partition::autoboot::{self, Autoboot};
use boot_partition::mbr::SECTOR;
use content_digest::DigestBuilder;
use verity_tree::{SALT, Salted, Superblock, Tree};

use super::groups::Groups;
use super::{BLOCK, Image, Report, boot_files, within};
use crate::dpkg::Scripts;
use crate::initramfs;
use crate::outputs::bundle::Slots;
use crate::partitions::fat;
use crate::partitions::layout::{Ab, MIB};
use crate::worker::{TaskError, finish};

/// A kernel that gives up restarts the device after so many seconds: the firmware starts the good slot then.
const PANIC: &str = "panic=10";
/// The firmware of Pi 3 and Zero 2 W is looked for on the first partition only.
const FIRST_STAGE: &str = "bootcode.bin";
/// Largest size that the data partition can grow to while it is in use, in blocks: 1 TiB.
const MOST_DATA: u64 = 1 << 28;
/// How many inodes must have the same extended attribute before they share it: more than there are.
const NO_SHARED_ATTRIBUTES: &str = "-x1000000000";
/// Data blocks that one thread hashes at a time.
const PORTION: usize = 256;

impl Image {
    pub(super) fn ab(
        &self,
        disk: &mut fs_err::File,
        tree: &Path,
        boot: u64,
        root: u64,
    ) -> Result<Report, TaskError> {
        let layout = Ab::new(boot, root);
        disk.set_len(layout.image_size())?;
        let mut used = Vec::new();
        for (offset, sector) in layout.tables(self.identities.disk_signature) {
            disk.seek(SeekFrom::Start(offset))?;
            disk.write_all(&sector)?;
            used.push((offset, SECTOR));
        }
        // Zeros that are written: what an earlier system left on the card would count.
        used.push((agent_region::OFFSET, agent_region::LENGTH));
        used.push((layout.boot(1).0, BLOCK));

        let version = boot_files::kernel_version(tree)?;
        let mut slots = self.root_slot(disk, &layout, &version)?;
        used.push(slots.root);

        let initramfs = initramfs::make(tree, &version, &self.initramfs_modules)?;
        let line = format!(
            "bakelite.disk={:08x} bakelite.root={} {PANIC}",
            self.identities.disk_signature, slots.root_hash
        );
        let mut files = self.boot_files(tree, &version, initramfs, &line)?;
        let mut first =
            fat::Files::from([(autoboot::FILE.to_owned(), Autoboot::new(2, 3).to_file())]);
        first.extend(files.remove_entry(FIRST_STAGE));
        if self.takes_settings {
            first.insert(device_settings::FILE.into(), device_settings::example());
        }
        let mut volume = fat::Volume {
            label: "bootfs",
            id: self.identities.fat_volume_id,
            timestamp: self.timestamp,
        };
        for (label, (offset, size), files) in [
            ("bootfs", layout.selector(), &first),
            ("bootslot", layout.boot(0), &files),
        ] {
            volume.label = label;
            let written = fat::write(disk, offset, size, volume, files)?;
            if offset == slots.boot.0 {
                slots.boot.1 = written
                    .iter()
                    .map(|(at, length)| at + length)
                    .max()
                    .unwrap_or(0);
            }
            used.extend(within(offset, written));
            volume.id = volume.id.wrapping_add(1);
        }
        let grows = format!(",resize={MOST_DATA}");
        used.extend(self.make_ext4(disk, layout.data(), "data", &grows, None)?);
        used.sort_unstable();
        Ok(Report {
            size: layout.image_size(),
            used,
            slots: Some(slots),
        })
    }

    /// Fills the first root slot: the file system, and the tree of hashes behind it.
    fn root_slot(
        &self,
        disk: &mut fs_err::File,
        layout: &Ab,
        version: &str,
    ) -> Result<Slots, TaskError> {
        let file = Path::new(finish::OUT).join("root.erofs");
        let length = self.make_erofs(&file, version)?;
        let digest = DigestBuilder::new()
            .part("salt 1")
            .part(&self.identities.root_uuid)
            .finish();
        let salt: [u8; SALT] = *digest.as_bytes();
        let digests = hash_blocks(&file, length, &salt, self.threads)?;
        let tree = Tree::of(&salt, &digests);
        let superblock = Superblock {
            uuid: digest.as_bytes()[..16].try_into().expect("sixteen bytes"),
            data_blocks: length / BLOCK,
            salt,
        };
        let total = length + BLOCK + tree.bytes.len() as u64;
        let (offset, size) = layout.root(0);
        if total > size {
            let text = format!(
                "the root file system and its hashes need {} MiB, and a root slot has {}: raise image.root-mib",
                total.div_ceil(MIB),
                size / MIB
            );
            return Err(text.into());
        }
        disk.seek(SeekFrom::Start(offset))?;
        io::copy(&mut fs_err::File::open(&file)?, disk)?;
        disk.seek(SeekFrom::Start(offset + length))?;
        let mut block = vec![0; usize::try_from(BLOCK).expect("a block")];
        block[..verity_tree::SUPERBLOCK_LENGTH].copy_from_slice(&superblock.to_bytes());
        disk.write_all(&block)?;
        disk.write_all(&tree.bytes)?;
        fs_err::remove_file(&file)?;
        Ok(Slots {
            disk: self.identities.disk_signature,
            boot: (layout.boot(0).0, 0),
            boot_room: layout.boot_size,
            root: (offset, total),
            data_blocks: length / BLOCK,
            salt: hex::encode(salt),
            root_hash: tree.root,
        })
    }

    /// Compressed in a way that leaves unchanged files unchanged, and laid out so that they stay where they were: no tails inside
    /// inodes, nothing shared by files. Returns the length in bytes.
    fn make_erofs(&self, file: &Path, version: &str) -> Result<u64, TaskError> {
        let packed = file.with_extension("packed");
        let (time, workers) = (
            self.timestamp.to_string(),
            format!("--workers={}", self.threads),
        );
        // They lie in the boot slot.
        let without =
            ["vmlinuz", "initrd.img"].map(|name| format!("--exclude-path=boot/{name}-{version}"));
        let target = packed.display().to_string();
        let arguments = [
            "--quiet",
            "-zlz4hc",
            "-Enoinline_data",
            NO_SHARED_ATTRIBUTES,
            "-T",
            &time,
            "-U",
            &self.identities.root_uuid,
            "-L",
            "rootfs",
            &workers,
            &without[0],
            &without[1],
            &target,
            super::TREE,
        ];
        Scripts::new(self.timestamp).run(
            Path::new("/usr/bin/mkfs.erofs"),
            &arguments,
            &[],
            "erofs-utils",
            "mkfs.erofs",
        )?;
        let groups = Groups::read(Path::new(super::TREE))?;
        let (from, to) = (fs_err::File::open(&packed)?, fs_err::File::create(file)?);
        let length = erofs_layout::lay_out(from.file(), to.file(), &mut |path| groups.of(path))?;
        fs_err::remove_file(&packed)?;
        Ok(length)
    }
}

/// Returns the digests of a file's blocks; zeros follow its end up to `length`.
fn hash_blocks(
    file: &Path,
    length: u64,
    salt: &[u8; SALT],
    threads: usize,
) -> io::Result<Vec<[u8; 32]>> {
    let salted = Salted::new(salt);
    let mut reader = fs_err::File::open(file)?;
    let size = PORTION * verity_tree::BLOCK;
    let (mut digests, mut left) = (Vec::new(), length);
    while left > 0 {
        let count = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(size * threads.max(1));
        let mut bytes = Vec::with_capacity(count);
        Read::by_ref(&mut reader)
            .take(count as u64)
            .read_to_end(&mut bytes)?;
        bytes.resize(count, 0);
        left -= count as u64;
        let hashed = std::thread::scope(|scope| {
            let portions: Vec<_> = bytes
                .chunks(size)
                .map(|portion| {
                    let salted = &salted;
                    let hash = move || {
                        portion
                            .chunks(verity_tree::BLOCK)
                            .map(|block| salted.block(block))
                            .collect::<Vec<_>>()
                    };
                    scope.spawn(hash)
                })
                .collect();
            portions
                .into_iter()
                .flat_map(|portion| portion.join().expect("hashing does not panic"))
                .collect::<Vec<_>>()
        });
        digests.extend(hashed);
    }
    Ok(digests)
}
