//! The root file system: a cpio archive, which the kernel unpacks into memory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cpio::newc::{Builder, trailer};

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;

/// Writes an archive with programs at the given places, and at their own the libraries that they need.
pub(super) fn write(archive: &Path, programs: &[(&Path, &PathBuf)]) -> Result<()> {
    let mut files: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut shared = BTreeSet::new();
    for (place, program) in programs {
        files.push(((*place).to_owned(), (*program).clone()));
        shared.extend(libraries(program)?);
    }
    files.extend(shared.into_iter().map(|library| (library.clone(), library)));
    // The kernel makes no directory that the archive does not name, before what is in it.
    let directories: BTreeSet<PathBuf> =
        files.iter().flat_map(|(place, _)| inside(place).ancestors().skip(1)).map(Path::to_owned).collect();

    let mut out = BufWriter::new(File::create(archive).with_context(|| archive.display().to_string())?);
    for directory in directories.iter().filter(|directory| !directory.as_os_str().is_empty()) {
        out = builder(directory, DIRECTORY).write(out, 0).finish()?;
    }
    for (place, file) in &files {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        let size = u32::try_from(bytes.len()).with_context(|| format!("{} is too big", file.display()))?;
        let mut entry = builder(inside(place), EXECUTABLE).write(out, size);
        io::copy(&mut bytes.as_slice(), &mut entry)?;
        out = entry.finish()?;
    }
    trailer(out)?.into_inner().context("the end of the archive")?;
    Ok(())
}

/// A place as it is called in an archive.
fn inside(place: &Path) -> &Path {
    place.strip_prefix("/").unwrap_or(place)
}

fn builder(place: &Path, mode: u32) -> Builder {
    Builder::new(&place.to_string_lossy()).mode(mode)
}

/// The shared libraries of a program and the loader that brings them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd")?;
    ensure!(output.status.success(), "ldd cannot read {}", program.display());
    Ok(listed(&String::from_utf8_lossy(&output.stdout)))
}

/// The files that ldd lists.
fn listed(said: &str) -> Vec<PathBuf> {
    said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_among_the_libraries() {
        let said =
            "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /lib/libc.so.6 (0x7f)\n\t/lib64/ld.so.2 (0x7f)\n";
        assert_eq!(listed(said), [Path::new("/lib/libc.so.6"), Path::new("/lib64/ld.so.2")]);
    }
}
