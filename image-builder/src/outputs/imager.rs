//! The manifest that Raspberry Pi Imager opens by double click (os-list v4).

use content_digest::Sha256Digest;
use serde_json::json;

/// Facts for the manifest.
#[derive(Debug)]
pub struct ImagerImage<'a> {
    /// Name and version for people.
    pub title: String,
    /// One sentence.
    pub description: &'a str,
    /// File name of the compressed image.
    pub file: &'a str,
    /// Size of the image in bytes.
    pub image_size: u64,
    /// Digest of the image.
    pub image_sha256: Sha256Digest,
    /// Size of the compressed image in bytes.
    pub file_size: u64,
    /// Digest of the compressed image.
    pub file_sha256: Sha256Digest,
    /// Date, `YYYY-MM-DD`.
    pub date: &'a str,
    /// Boards, by the names of the firmware model.
    pub boards: &'a [String],
}

/// Imager's names for boards.
fn device(board: &str) -> &'static str {
    match board {
        "pi5" => "pi5-64bit",
        "pi4" | "pi400" | "cm4" => "pi4-64bit",
        _ => "pi3-64bit",
    }
}

/// Returns the manifest. Addresses are relative: the files lie beside it.
pub fn manifest(image: &ImagerImage<'_>) -> String {
    let mut devices: Vec<&str> = image.boards.iter().map(|board| device(board)).collect();
    devices.sort_unstable();
    devices.dedup();
    // Shown in Imager beside the name: the brand as one brown square.
    let icon = "data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg' width='40' height='40'><rect width='40' height='40' rx='6' fill='%235a2e1c'/></svg>";
    let value = json!({
        "os_list": [{
            "name": image.title,
            "description": image.description,
            "icon": icon,
            "url": image.file,
            "extract_size": image.image_size,
            "extract_sha256": image.image_sha256,
            "image_download_size": image.file_size,
            "image_download_sha256": image.file_sha256,
            "release_date": image.date,
            "devices": devices,
            "init_format": "none",
            "architecture": "armv8",
        }]
    });
    serde_json::to_string_pretty(&value).expect("plain data") + "\n"
}
