//! The template that comes with the program: the release of `template/`, for makers to copy and change.

use std::io;
use std::path::Path;

use include_dir::{Dir, include_dir};

static TEMPLATE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/template");

/// Copies the template into a folder that must not be there yet.
pub fn copy_to(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs_err::create_dir_all(parent)?;
    }
    fs_err::create_dir(folder)?;
    copy(&TEMPLATE, folder)
}

fn copy(from: &Dir<'_>, folder: &Path) -> io::Result<()> {
    for file in from.files() {
        fs_err::write(folder.join(file.path()), file.contents())?;
    }
    for inner in from.dirs() {
        fs_err::create_dir(folder.join(inner.path()))?;
        copy(inner, folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::template::{Template, lint};

    #[test]
    fn the_template_is_right_but_for_its_people() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("release/template");
        super::copy_to(&folder).unwrap();
        let template = Template::load(&folder).unwrap();
        assert_eq!(template.steps.len(), 25);
        let errors: Vec<String> = lint(&template)
            .iter()
            .filter(|finding| !finding.is_warning)
            .map(ToString::to_string)
            .collect();
        // Everybody names their own people.
        assert_eq!(errors.len(), template.release.roles.len(), "{errors:#?}");
        assert!(
            errors
                .iter()
                .all(|error| error.contains("in the hands of nobody")),
            "{errors:#?}"
        );
        assert!(super::copy_to(&folder).is_err(), "nothing is overwritten");
    }
}
