//! The kernel, from Debian's package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::setup::apt_get;
use crate::step::step;

/// Versions of Debian 12's kernel begin so.
const OLDEST: &str = "6.1.";
/// Depends on the newest kernel of a release, in the build for virtual machines.
const NEWEST: &str = "linux-image-cloud-amd64";

/// The oldest kernel that has to do, from `directory` if it is there already.
pub(super) fn oldest(directory: &Path) -> Result<PathBuf> {
    let prefix = format!("vmlinuz-{OLDEST}");
    if let Some(image) = find(directory, &prefix)? {
        return Ok(image);
    }
    if rustix::process::geteuid().is_root() {
        step("package lists", &mut apt_get(&["update"]))?;
    }
    let package = package()?;
    let unpacked = tempfile::tempdir_in(directory)?;
    // Nobody else may look into that directory, which does no harm.
    let mut download = apt_get(&["download", "-o", "APT::Sandbox::User=root", &package]);
    step("kernel", download.current_dir(unpacked.path()))?;
    let archive = find(unpacked.path(), &package)?.context("apt-get download wrote no file")?;
    step("unpack", Command::new("dpkg-deb").arg("-x").arg(archive).arg(unpacked.path()))?;
    let image = find(&unpacked.path().join("boot"), &prefix)?
        .with_context(|| format!("the package {package} has no boot/{prefix}*"))?;
    let kept = directory.join(image.file_name().context("an image without a name")?);
    fs::rename(&image, &kept).with_context(|| kept.display().to_string())?;
    Ok(kept)
}

/// A file whose name begins so.
fn find(directory: &Path, prefix: &str) -> Result<Option<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut names = entries.flatten().map(|entry| entry.file_name());
    Ok(names.find(|name| name.to_string_lossy().starts_with(prefix)).map(|name| directory.join(name)))
}

/// The package that has the kernel.
fn package() -> Result<String> {
    let mut show = Command::new("apt-cache");
    let output = show.args(["show", "--no-all-versions", NEWEST]).output().context("cannot run apt-cache")?;
    dependency(&String::from_utf8_lossy(&output.stdout)).with_context(|| {
        format!(
            "apt knows no {NEWEST} of version {OLDEST}*: apt's sources have to have Debian 12 (bookworm), and \
             `apt-get update` as root makes them known"
        )
    })
}

/// The kernel that [`NEWEST`], as apt-cache shows it, depends on.
fn dependency(shown: &str) -> Option<String> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    let name = depends.split_whitespace().next()?;
    name.starts_with(&format!("linux-image-{OLDEST}")).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_release_s_kernel_is_not_taken() {
        let shown = |version| {
            format!(
                "Package: {NEWEST}\nDepends: linux-image-{version}-cloud-amd64 (= {version}.2-1)\nSize: 1\n"
            )
        };
        assert_eq!(dependency(&shown("6.1.0-56")).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(dependency(&shown("6.12.1")), None);
        assert_eq!(dependency(""), None);
    }
}
