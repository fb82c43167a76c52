//! The defects of `tests/checks/mutations.sh` can be put back: each patch fits the code as it is.

use std::path::Path;

/// Returns the hunks of a patch: the file, and the lines that must follow one another in it.
fn hunks(patch: &str) -> Vec<(String, String)> {
    let mut hunks: Vec<(String, String)> = Vec::new();
    let mut file = String::new();
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("+++ b/") {
            name.clone_into(&mut file);
        } else if line.starts_with("@@") {
            hunks.push((file.clone(), String::new()));
        } else if let Some((name, expected)) = hunks.last_mut()
            && *name == file
            && let Some(text) = line.strip_prefix(' ').or_else(|| line.strip_prefix('-'))
            && !line.starts_with("--- ")
        {
            expected.push_str(text);
            expected.push('\n');
        }
    }
    hunks
}

#[test]
fn every_patch_fits_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations");
    let mut patches = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let hunks = hunks(&std::fs::read_to_string(&path).unwrap());
        assert!(!hunks.is_empty(), "{} changes nothing", path.display());
        for (file, expected) in hunks {
            let code = std::fs::read_to_string(root.join(&file)).unwrap();
            assert!(code.contains(&expected), "{} does not fit {file} any more:\n{expected}", path.display());
        }
        patches += 1;
    }
    assert_eq!(patches, 9);
}
