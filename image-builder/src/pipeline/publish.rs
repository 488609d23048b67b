//! Writes the outputs into a new folder and puts it in place of the old one.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use apt_repository::release::rfc3339;
use artifact_manifest::{ArtifactFile, ArtifactManifest, Extracted, Role, SCHEMA};
use content_digest::Sha256Digest;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use ota_bundle::Draft;
use serde::{Deserialize, Serialize};

use super::stages::{RawImage, Stages};
use super::{BuildError, BuildOptions, Built, Keys};
use crate::event::{Event, Sink};
use crate::firmware::{self, Board, BootPartition};
use crate::lock::{LockedPackage, TARGET};
use crate::outputs::compress::Compressed;
use crate::outputs::frames::Frames;
use crate::outputs::imager::{self, ImagerImage};
use crate::outputs::report::BuildReport;
use crate::outputs::{budget, bundle, compress, licence, sbom};
use crate::recipe::Recipe;
use crate::recipe::written::Compression;
use crate::store::write_atomically;
use crate::{Host, agent_package};

/// How QEMU's machine "virt" calls itself in its device tree.
const EMULATED: &str = "linux,dummy-virt";

/// A file of the outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Name.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Sha256Digest,
    /// Time of last change in nanoseconds since 1970, to see whether it was touched since.
    modified: u128,
}

/// Moves a new folder to its name. Where one is there already, both change places, so that there is
/// a whole one at every moment; the old one is removed then.
fn put_in_place(new: &Path, name: &Path) -> io::Result<()> {
    if name.exists() {
        match renameat2(AT_FDCWD, new, AT_FDCWD, name, RenameFlags::RENAME_EXCHANGE) {
            Ok(()) => return fs_err::remove_dir_all(new),
            // Network file systems cannot.
            Err(nix::Error::EINVAL | nix::Error::ENOSYS) => fs_err::remove_dir_all(name)?,
            Err(error) => return Err(error.into()),
        }
    }
    fs_err::rename(new, name)
}

/// Removes what builds that were killed left beside the outputs.
fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix('.')?.strip_suffix(".partial"));
        if let Some(process) = process
            && process.bytes().all(|byte| byte.is_ascii_digit())
            && !Path::new("/proc").join(process).exists()
        {
            fs_err::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// What was published under a key.
#[derive(Debug, Serialize, Deserialize)]
struct Published {
    image: String,
    candidate: Sha256Digest,
    files: Vec<OutputFile>,
}

pub(super) struct Outputs<'a> {
    pub(super) stages: &'a Stages<'a>,
    pub(super) base: &'a Path,
    pub(super) agent: Option<&'a Path>,
    pub(super) image: &'a RawImage,
}

/// Returns what an earlier build made, if it is still there, untouched.
pub(super) fn find(
    recipe: &Recipe,
    host: &Host,
    keys: &Keys,
    options: &BuildOptions,
) -> Option<Built> {
    let folder = folder(recipe, options);
    let record = record(host, keys, &folder);
    let published: Published = serde_json::from_slice(&fs_err::read(record).ok()?).ok()?;
    let untouched = |file: &OutputFile| {
        stamp(&folder.join(&file.name)).is_some_and(|s| s == (file.size, file.modified))
    };
    published.files.iter().all(untouched).then(|| Built {
        image: folder.join(&published.image),
        candidate: published.candidate,
        files: published.files,
        up_to_date: true,
        report: BuildReport::default(),
        folder,
    })
}

fn folder(recipe: &Recipe, options: &BuildOptions) -> PathBuf {
    options.out.join(&recipe.name).join(&recipe.version)
}

fn record(host: &Host, keys: &Keys, folder: &Path) -> PathBuf {
    let place = Sha256Digest::of(folder.as_os_str().as_encoded_bytes());
    host.cache_folder("published")
        .join(format!("{}-{}.json", keys.outputs.short(), place.short()))
}

fn stamp(path: &Path) -> Option<(u64, u128)> {
    let data = fs_err::metadata(path).ok()?;
    Some((
        data.len(),
        data.modified()
            .ok()?
            .duration_since(UNIX_EPOCH)
            .ok()?
            .as_nanos(),
    ))
}

/// Runs the firmware model over the image.
pub(super) fn check_boot(recipe: &Recipe, image: &Path) -> Result<(), BuildError> {
    let mut file = fs_err::File::open(image)?;
    let boot = BootPartition::read(&mut file).map_err(BuildError::ReadBack)?;
    let problems = firmware::check(&boot, &recipe.boot().boards);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(BuildError::Firmware { problems })
    }
}

impl Outputs<'_> {
    pub(super) fn publish(
        &self,
        options: &BuildOptions,
        sink: Sink<'_>,
    ) -> Result<Built, BuildError> {
        let target = folder(self.stages.recipe, options);
        let parent = target.parent().unwrap_or(&options.out).to_owned();
        fs_err::create_dir_all(&parent)?;
        remove_leftovers(&parent)?;
        self.tell_distance(&parent, sink);
        let partial = parent.join(format!(".{}.partial", std::process::id()));
        fs_err::create_dir(&partial)?;
        let made = self.write(&partial);
        drop(fs_err::remove_dir_all(self.stages.store.partial("image")));
        let published = match made {
            Ok(published) => published,
            Err(error) => {
                drop(fs_err::remove_dir_all(&partial));
                return Err(error);
            }
        };
        fs_err::File::open(&partial)?.sync_all()?;
        put_in_place(&partial, &target)?;
        fs_err::File::open(&parent)?.sync_all()?;
        let record = record(self.stages.host, &self.stages.keys, &target);
        fs_err::create_dir_all(self.stages.host.cache_folder("published"))?;
        write_atomically(
            &record,
            &serde_json::to_vec(&published).expect("plain data"),
        )?;
        Ok(Built {
            image: target.join(&published.image),
            candidate: published.candidate,
            files: published.files,
            up_to_date: false,
            report: BuildReport::default(),
            folder: target,
        })
    }

    /// Says how far the image is from the version before, if there is one.
    fn tell_distance(&self, product: &Path, sink: Sink<'_>) {
        let recipe = self.stages.recipe;
        let before = match &recipe.update_before {
            Some(path) => Some(budget::bundle_in(path).unwrap_or_else(|| path.clone())),
            None => budget::newest_before(product, &recipe.version),
        };
        if let (Some(slots), Some(before)) = (&self.image.report.slots, before) {
            let text = match budget::distance(&self.image.file, slots, &before) {
                Ok(distance) => distance.sentence(recipe.update_budget),
                // The image is as good as it is.
                Err(error) => {
                    format!("warning: how far it is from the version before is not known: {error}")
                }
            };
            sink(Event::Note { text });
        }
    }

    /// Writes the update bundle, if the image has slots.
    fn bundle(&self, target: &Path) -> Result<Option<ArtifactFile>, BuildError> {
        let Some(slots) = &self.image.report.slots else {
            return Ok(None);
        };
        let Stages {
            recipe, host, lock, ..
        } = self.stages;
        let boards = recipe.boot().boards;
        let boards = boards.iter().filter_map(|name| Board::find(name));
        let draft = Draft {
            product: recipe.name.clone(),
            version: recipe.version.clone(),
            created: u64::try_from(lock.timestamp).unwrap_or(0),
            rollback_index: recipe.rollback_index,
            // The machine of `bakelite boot` takes what any board takes.
            boards: boards
                .map(|board| board.compatible.to_owned())
                .chain([EMULATED.to_owned()])
                .collect(),
            disk: slots.disk,
            notes: None,
        };
        let frames = Frames::at_level(&host.cache_folder("frames"), bundle::LEVEL)?;
        bundle::write(
            &self.image.file,
            slots,
            draft,
            &frames,
            host.threads,
            target,
        )
        .map_err(io::Error::other)?;
        let (sha256, size) = Sha256Digest::of_file(target)?;
        Ok(Some(ArtifactFile {
            name: target
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            role: Role::Bundle,
            size,
            sha256,
            extracted: None,
        }))
    }

    fn compress(&self, target: &Path, ranges: &[(u64, u64)]) -> io::Result<Compressed> {
        let settings = compress::Settings {
            compression: self.stages.recipe.compression,
            threads: self.stages.host.threads,
            frames: &Frames::new(&self.stages.host.cache_folder("frames"))?,
        };
        let compressed = compress::compress(&self.image.file, target, settings, ranges);
        // Its gigabyte of pages is not needed any more.
        drop(fs_err::remove_file(&self.image.file));
        compressed
    }

    #[expect(
        clippy::too_many_lines,
        reason = "the list of outputs, one after the other"
    )]
    fn write(&self, folder: &Path) -> Result<Published, BuildError> {
        let recipe = self.stages.recipe;
        let name = format!("{}-{}", recipe.name, recipe.version);
        let extension = if recipe.compression == Compression::Xz {
            "img.xz"
        } else {
            "img.zst"
        };
        let image_name = format!("{name}.{extension}");
        let ranges = block_map::whole_blocks(&self.image.report.used, self.image.report.size);
        let timestamp = rfc3339(self.stages.lock.timestamp);
        let agent = match self.agent {
            Some(path) => Some(
                Sha256Digest::of_file(path)
                    .map(|(digest, size)| agent_package::as_locked(digest, size))?,
            ),
            None => None,
        };
        let licences = |package: &LockedPackage| match package.name.as_str() {
            "bakelite-agent" => vec!["MIT".to_owned(), "Apache-2.0".to_owned()],
            name => licence::of_package(self.base, name),
        };
        let bundle = self.bundle(&folder.join(format!("{name}.upd")))?;
        let (compressed, packages) = std::thread::scope(|scope| {
            let compressing = scope.spawn(|| self.compress(&folder.join(&image_name), &ranges));
            let packages: Vec<_> = self
                .stages
                .lock
                .image
                .iter()
                .chain(&agent)
                .map(|package| (package, licences(package)))
                .collect();
            (
                compressing.join().expect("compressing does not panic"),
                packages,
            )
        });
        let compressed = compressed?;
        let subject = sbom::Subject {
            name: &recipe.name,
            version: &recipe.version,
            timestamp: &timestamp,
            lock: Sha256Digest::of(self.stages.lock.to_text()),
            packages,
        };
        let boards = recipe.boot().boards;
        let imager = ImagerImage {
            title: format!("{} {}", recipe.name, recipe.version),
            description: &recipe.description,
            file: &image_name,
            image_size: compressed.image_size,
            image_sha256: compressed.image_sha256,
            file_size: compressed.file_size,
            file_sha256: compressed.file_sha256,
            date: timestamp.get(..10).unwrap_or_default(),
            boards: &boards,
        };
        let texts = [
            (
                Role::Bmap,
                format!("{name}.bmap"),
                block_map::write(compressed.image_size, &ranges, &compressed.range_digests),
            ),
            (
                Role::Lock,
                format!("{name}.lock"),
                self.stages.lock.to_text(),
            ),
            (
                Role::Spdx,
                format!("{name}.spdx.json"),
                sbom::spdx(&subject),
            ),
            (
                Role::Cyclonedx,
                format!("{name}.cdx.json"),
                sbom::cyclonedx(&subject),
            ),
            (
                Role::Packages,
                format!("{name}.packages.tsv"),
                sbom::package_list(&subject),
            ),
            (
                Role::ImagerManifest,
                format!("{name}.rpi-imager-manifest"),
                imager::manifest(&imager),
            ),
        ];
        let mut files = vec![ArtifactFile {
            name: image_name.clone(),
            role: Role::Image,
            size: compressed.file_size,
            sha256: compressed.file_sha256,
            extracted: Some(Extracted {
                size: compressed.image_size,
                sha256: compressed.image_sha256,
            }),
        }];
        // Only who updates itself has its firmware choose between slots.
        let eeprom = boards
            .iter()
            .filter(|_| bundle.is_some())
            .filter_map(|name| Some((name.clone(), Board::find(name)?.eeprom?.to_owned())))
            .collect();
        files.extend(bundle);
        for (role, name, text) in texts {
            write_atomically(&folder.join(&name), text.as_bytes())?;
            files.push(ArtifactFile {
                name,
                role,
                size: text.len() as u64,
                sha256: Sha256Digest::of(&text),
                extracted: None,
            });
        }
        if let (Some(path), Some(package)) = (self.agent, &agent) {
            // For devices that run already: `apt install ./bakelite-agent_…`.
            let (version, target) = (&package.version, TARGET);
            let name = format!("{}_{version}_{target}.deb", package.name);
            write_atomically(&folder.join(&name), &fs_err::read(path)?)?;
            files.push(ArtifactFile {
                name,
                role: Role::Package,
                size: package.size,
                sha256: package.sha256,
                extracted: None,
            });
        }
        let manifest = ArtifactManifest {
            schema: SCHEMA,
            name: recipe.name.clone(),
            version: recipe.version.clone(),
            description: recipe.description.clone(),
            board: recipe.board.clone(),
            boards: boards.clone(),
            eeprom,
            distro: recipe.distro.clone(),
            architecture: TARGET.into(),
            timestamp: timestamp.clone(),
            lock: subject.lock,
            kernel: self.image.kernel.clone(),
            packages: self
                .stages
                .lock
                .image
                .iter()
                .chain(&agent)
                .map(|p| (p.name.clone(), p.version.to_string()))
                .collect(),
            files,
        };
        write_atomically(&folder.join("manifest.json"), manifest.to_json().as_bytes())?;
        let mut sums: Vec<(String, Sha256Digest)> = manifest
            .files
            .iter()
            .map(|file| (file.name.clone(), file.sha256))
            .collect();
        sums.push(("manifest.json".into(), manifest.digest()));
        sums.sort();
        let lines: Vec<String> = sums
            .iter()
            .map(|(name, digest)| format!("{digest}  {name}"))
            .collect();
        let text = lines.join("\n") + "\n";
        write_atomically(&folder.join("SHA256SUMS"), text.as_bytes())?;
        sums.push(("SHA256SUMS".into(), Sha256Digest::of(&text)));
        let files = sums.into_iter().map(|(name, sha256)| {
            let (size, modified) = stamp(&folder.join(&name)).unwrap_or_default();
            OutputFile {
                name,
                size,
                sha256,
                modified,
            }
        });
        Ok(Published {
            image: image_name,
            candidate: manifest.digest(),
            files: files.collect(),
        })
    }
}

/// Hashes every file that `SHA256SUMS` of a folder names, and the image inside the compressed one.
/// Returns every mismatch.
pub fn verify_folder(folder: &Path) -> Result<Vec<String>, BuildError> {
    let mut problems = Vec::new();
    let sums = fs_err::read_to_string(folder.join("SHA256SUMS"))?;
    for line in sums.lines() {
        let Some((expected, name)) = line.split_once("  ") else {
            problems.push(format!("SHA256SUMS has a malformed line: {line}"));
            continue;
        };
        match Sha256Digest::of_file(&folder.join(name)) {
            Ok((found, _)) if found.to_string() == expected => {}
            Ok((found, _)) => problems.push(format!(
                "{name}: its SHA-256 is {found}, but {expected} is listed"
            )),
            Err(error) => problems.push(format!("{name}: {error}")),
        }
    }
    let text = fs_err::read_to_string(folder.join("manifest.json"))?;
    let manifest = ArtifactManifest::from_json(&text).map_err(std::io::Error::other)?;
    for file in &manifest.files {
        let Some(extracted) = file.extracted else {
            continue;
        };
        let compressed = fs_err::File::open(folder.join(&file.name))?;
        let mut reader: Box<dyn std::io::Read> = if file.name.ends_with(".xz") {
            Box::new(liblzma::read::XzDecoder::new_multi_decoder(compressed))
        } else {
            Box::new(zstd::stream::read::Decoder::new(compressed)?)
        };
        let mut hashing = content_digest::HashingReader::new(&mut reader);
        std::io::copy(&mut hashing.by_ref(), &mut std::io::sink())?;
        let (size, found) = (hashing.length(), hashing.finish());
        if (size, found) != (extracted.size, extracted.sha256) {
            problems.push(format!(
                "{}: the image inside has SHA-256 {found}, but {} is recorded",
                file.name, extracted.sha256
            ));
        }
    }
    Ok(problems)
}
