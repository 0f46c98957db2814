//! The files of this workspace, as the rules look at them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What is not ours, or not written by hand.
const SKIPPED: [&str; 5] = ["target", ".git", ".sqlx", ".showrunner", "node_modules"];

/// Where the workspace is.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli/ lies in the workspace").to_owned()
}

/// A file with its path from the workspace's root.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every file with one of these endings.
pub(crate) fn with_extensions(extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root(), extensions, &mut found);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "no {extensions:?} files below {}", root().display());
    found
}

fn collect(directory: &Path, extensions: &[&str], found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if SKIPPED.contains(&name.as_str()) || entry.file_type().unwrap().is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(&path, extensions, found);
        } else if path.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted)) {
            let relative = path.strip_prefix(root()).unwrap().display().to_string();
            // What is read may be in the middle of being removed by an editor.
            if let Ok(text) = fs::read_to_string(&path) {
                found.push(Source { path: relative, text });
            }
        }
    }
}
