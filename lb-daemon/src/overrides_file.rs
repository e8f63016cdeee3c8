//! The file that carries overrides over a restart: `overrides` in the state directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lb_model::Global;
use lb_runtime::Overrides;

const HEADER: &str = "# What operators have set with `sluice drain` and `sluice weight`. Written by Sluice; edit it only while\n\
                      # Sluice is stopped, or delete it to begin without overrides.\n";

/// The overrides' file.
#[derive(Debug, Clone)]
pub(crate) struct OverridesFile {
    path: PathBuf,
}

impl OverridesFile {
    /// The file in the configured state directory, else in that of the service manager. `None`: there is neither.
    pub(crate) fn locate(global: &Global) -> Option<Self> {
        let from_manager = || {
            let listed = std::env::var_os("STATE_DIRECTORY")?;
            std::env::split_paths(&listed).next().filter(|path| !path.as_os_str().is_empty())
        };
        let directory = global.state_dir.clone().or_else(from_manager)?;
        Some(Self { path: directory.join("overrides") })
    }

    /// What it holds; nothing if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be read or understood. Going on without would undrain what somebody took out for a reason.
    pub(crate) fn read(&self) -> anyhow::Result<Overrides> {
        let path = self.path.display();
        match fs::read_to_string(&self.path) {
            Ok(text) => match text.parse() {
                Ok(overrides) => Ok(overrides),
                Err(error) => bail!("{path}: {error}; correct it, or delete it to begin without overrides"),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Overrides::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read the overrides in {path}")),
        }
    }

    /// Replaces what it holds. When this returns, it survives a crash of the host.
    ///
    /// # Errors
    ///
    /// If it cannot be written; the old content stays.
    pub(crate) fn write(&self, overrides: &Overrides) -> anyhow::Result<()> {
        self.replace(format!("{HEADER}{overrides}").as_bytes())
            .with_context(|| format!("cannot write the overrides to {}", self.path.display()))
    }

    fn replace(&self, content: &[u8]) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(directory)?.sync_all()
    }
}
