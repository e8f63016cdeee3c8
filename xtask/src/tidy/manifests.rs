//! The import rules of the design, checked on the dependencies that the manifests declare.
//!
//! Rules name crates that do not exist yet, so that they hold from those crates' first day.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::tidy::Problem;

/// Who may depend on what.
struct Rule {
    /// Whom it binds.
    crates: Crates,
    /// What they must not depend on: a name, or with `*` at its end all names that begin so.
    forbidden: &'static [&'static str],
    /// Why.
    reason: &'static str,
}

/// Some of the workspace's crates.
enum Crates {
    These(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

const RULES: [Rule; 11] = [
    Rule {
        crates: Crates::These(&["lb-model", "lb-balance"]),
        forbidden: &[
            "tokio*",
            "serde*",
            "tracing*",
            "log",
            "rand*",
            "getrandom",
            "fastrand",
            "chrono",
            "jiff",
        ],
        reason: "it is pure: time, randomness and IO are its callers' business",
    },
    Rule {
        crates: Crates::These(&["lb-http"]),
        forbidden: &["lb-*", "tokio*", "tracing*", "log", "http", "httparse", "hyper*"],
        reason: "it is the codec alone: bytes in, bytes out",
    },
    Rule {
        crates: Crates::AllBut(&["lb-config", "lb-admin"]),
        forbidden: &["serde"],
        reason: "only lb-config's raw types and lb-admin's DTOs are serialised",
    },
    Rule {
        crates: Crates::These(&["lb-net", "lb-dial", "lb-l4", "lb-http", "lb-gateway", "lb-dns", "lb-xdp"]),
        forbidden: &["lb-config", "lb-admin"],
        reason: "a data plane reads views, not files or commands",
    },
    Rule {
        crates: Crates::These(&["lb-l4"]),
        forbidden: &["lb-gateway", "lb-dns", "lb-xdp"],
        reason: "data planes meet in lb-runtime only",
    },
    Rule {
        crates: Crates::These(&["lb-gateway"]),
        forbidden: &["lb-l4", "lb-dns", "lb-xdp"],
        reason: "data planes meet in lb-runtime only",
    },
    Rule {
        crates: Crates::These(&["lb-dns"]),
        forbidden: &["lb-l4", "lb-gateway", "lb-xdp"],
        reason: "data planes meet in lb-runtime only",
    },
    Rule {
        crates: Crates::These(&["lb-xdp"]),
        forbidden: &["lb-l4", "lb-gateway", "lb-dns"],
        reason: "data planes meet in lb-runtime only",
    },
    Rule {
        crates: Crates::AllBut(&["lb-xdp", "lb-ebpf"]),
        forbidden: &["aya*"],
        reason: "in userspace only lb-xdp sees aya",
    },
    Rule {
        crates: Crates::These(&["lb-common"]),
        forbidden: &["lb-*"],
        reason: "the ABI crate depends on nothing of ours",
    },
    Rule {
        crates: Crates::AllBut(&["lb-daemon", "lb-telemetry"]),
        forbidden: &["tracing-subscriber", "tracing-appender", "metrics-exporter-*"],
        reason: "only lb-telemetry installs globals",
    },
];

/// Where `unsafe` may be, each use with its reason.
const UNSAFE: [&str; 4] = ["lb-common", "lb-ebpf", "lb-net", "lb-xdp"];

/// A package of the workspace, as far as the rules look at it.
struct Package {
    name: String,
    manifest: PathBuf,
    /// Dependencies of the product; tests may use what they like.
    dependencies: Vec<String>,
    /// Root files of the library and the binaries.
    roots: Vec<PathBuf>,
}

/// Checks what `cargo metadata` says and the files that it names.
pub(super) fn check(metadata: &Value) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for package in array(metadata, "packages").map(Package::parse) {
        let package = package?;
        problems.extend(broken_rules(&package));
        let manifest = fs::read_to_string(&package.manifest)?;
        problems.extend(without_lints(&package.manifest, &manifest));
        for root in package.roots.iter().filter(|_| !UNSAFE.contains(&package.name.as_str())) {
            let text = fs::read_to_string(root).with_context(|| root.display().to_string())?;
            problems.extend(without_forbid(root, &text));
        }
    }
    Ok(problems)
}

fn broken_rules(package: &Package) -> Vec<Problem> {
    let broken = RULES.iter().filter(|rule| rule.crates.contains(&package.name)).flat_map(|rule| {
        let forbidden = package.dependencies.iter().filter(|dependency| rule.forbids(dependency));
        forbidden.map(|dependency| {
            let wrong = format!("{} must not depend on {dependency}", package.name);
            Problem::new(&package.manifest, wrong, rule.reason)
        })
    });
    broken.collect()
}

fn without_lints(path: &Path, manifest: &str) -> Option<Problem> {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]");
    lines.next();
    let inherited = lines.take_while(|line| !line.starts_with('[')).any(|line| line == "workspace = true");
    let remedy = "add `[lints]` with `workspace = true`";
    (!inherited).then(|| Problem::new(path, "the workspace's lints do not hold here", remedy))
}

fn without_forbid(path: &Path, text: &str) -> Option<Problem> {
    let forbids = text.lines().any(|line| line == "#![forbid(unsafe_code)]");
    let remedy = format!("add `#![forbid(unsafe_code)]`; unsafe code lives in {}", UNSAFE.join(", "));
    (!forbids).then(|| Problem::new(path, "unsafe code is not forbidden here", remedy))
}

impl Rule {
    fn forbids(&self, dependency: &str) -> bool {
        self.forbidden.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => dependency.starts_with(start),
            None => dependency == *pattern,
        })
    }
}

impl Crates {
    fn contains(&self, name: &str) -> bool {
        match self {
            Self::These(names) => names.contains(&name),
            Self::AllBut(names) => !names.contains(&name),
        }
    }
}

impl Package {
    fn parse(json: &Value) -> Result<Self> {
        let is_product = |kind: &Value| kind.as_str() != Some("dev");
        let dependencies =
            array(json, "dependencies").filter(|dependency| is_product(field(dependency, "kind")));
        let root_kinds = ["lib", "bin", "proc-macro"].map(Value::from);
        let targets = array(json, "targets");
        let roots = targets.filter(|target| array(target, "kind").any(|kind| root_kinds.contains(kind)));
        Ok(Self {
            name: string(json, "name")?.to_owned(),
            manifest: PathBuf::from(string(json, "manifest_path")?),
            dependencies: dependencies
                .map(|dependency| Ok(string(dependency, "name")?.to_owned()))
                .collect::<Result<_>>()?,
            roots: roots
                .map(|target| Ok(PathBuf::from(string(target, "src_path")?)))
                .collect::<Result<_>>()?,
        })
    }
}

fn field<'j>(json: &'j Value, name: &str) -> &'j Value {
    json.get(name).unwrap_or(&Value::Null)
}

fn array<'j>(json: &'j Value, name: &str) -> impl Iterator<Item = &'j Value> {
    field(json, name).as_array().into_iter().flatten()
}

fn string<'j>(json: &'j Value, name: &str) -> Result<&'j str> {
    field(json, name).as_str().with_context(|| format!("cargo metadata: no {name}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrongs(name: &str, dependencies: &[(&str, Option<&str>)]) -> Vec<String> {
        let dependencies: Vec<Value> =
            dependencies.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
        let package = json!({
            "name": name,
            "manifest_path": "/x/Cargo.toml",
            "dependencies": dependencies,
            "targets": [{ "kind": ["lib"], "src_path": "/x/src/lib.rs" }],
        });
        let package = Package::parse(&package).unwrap();
        broken_rules(&package).into_iter().map(|problem| problem.wrong).collect()
    }

    #[test]
    fn the_model_is_pure_but_its_tests_need_not_be() {
        assert_eq!(wrongs("lb-model", &[("thiserror", None), ("rand", Some("dev"))]), [""; 0]);
        assert_eq!(wrongs("lb-model", &[("rand_core", None)]), ["lb-model must not depend on rand_core"]);
        assert_eq!(
            wrongs("lb-balance", &[("tokio", Some("build"))]),
            ["lb-balance must not depend on tokio"]
        );
    }

    #[test]
    fn serde_stays_at_the_edge() {
        assert_eq!(wrongs("lb-config", &[("serde", None)]), [""; 0]);
        assert_eq!(wrongs("lb-runtime", &[("serde", None)]), ["lb-runtime must not depend on serde"]);
        assert_eq!(wrongs("xtask", &[("serde_json", None)]), [""; 0]);
    }

    #[test]
    fn data_planes_do_not_see_each_other_or_the_files() {
        assert_eq!(wrongs("lb-l4", &[("lb-net", None), ("lb-runtime", None)]), [""; 0]);
        assert_eq!(wrongs("lb-l4", &[("lb-config", None), ("lb-xdp", None)]).len(), 2);
    }

    #[test]
    fn the_codec_stands_alone_but_its_tests_need_not() {
        assert_eq!(wrongs("lb-http", &[("memchr", None), ("hyper", Some("dev"))]), [""; 0]);
        assert_eq!(wrongs("lb-http", &[("lb-net", None), ("tokio", None)]).len(), 2);
    }

    #[test]
    fn aya_is_for_xdp_only() {
        assert_eq!(wrongs("lb-xdp", &[("aya", None)]), [""; 0]);
        assert_eq!(wrongs("lb-daemon", &[("aya-log", None)]), ["lb-daemon must not depend on aya-log"]);
    }

    #[test]
    fn every_crate_inherits_the_lints() {
        let check = |manifest: &str| without_lints(Path::new("/x/Cargo.toml"), manifest).is_none();
        assert!(check("[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n"));
        assert!(!check("[package]\nname = \"x\"\n"));
        assert!(!check("[lints]\n[dependencies]\nworkspace = true\n"));
    }

    #[test]
    fn a_comment_forbids_nothing() {
        let check = |text: &str| without_forbid(Path::new("/x/src/lib.rs"), text).is_none();
        assert!(check("//! X.\n#![forbid(unsafe_code)]\n"));
        assert!(!check("//! X.\n// #![forbid(unsafe_code)]\n"));
    }
}
