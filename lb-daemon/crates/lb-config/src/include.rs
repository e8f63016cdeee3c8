//! Files: the main one, and those that its `include` names.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::diagnostic::{Diagnostic, Problems};
use crate::document::Document;
use crate::source::Source;

/// Largest file that is read. A pool of 4096 backends with every key set takes half a megabyte.
const MAX_BYTES: u64 = 4 << 20;

/// Reads the file at `path`. `order` is its place among the files that are read.
pub(crate) fn read(path: &Path, order: usize) -> Result<Source, Box<Diagnostic>> {
    let name = path.display().to_string();
    let bytes =
        read_bytes(path).map_err(|message| Box::new(Diagnostic::whole_file(name.clone(), &message)))?;
    Ok(source(name, order, bytes)?.in_directory(directory_of(path)))
}

/// The directory of the file at `path`: absolute where that can be told, so that paths in it stay good elsewhere.
fn directory_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_unknown: std::io::Error| path.to_owned());
    absolute.parent().unwrap_or(Path::new("")).to_owned()
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(explain)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(explain)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {} MiB: split it with include", MAX_BYTES >> 20));
    }
    Ok(bytes)
}

/// What is wrong with a file that cannot be read, and what to do.
fn explain(error: std::io::Error) -> String {
    let kind = error.kind();
    if kind == ErrorKind::NotFound {
        "no such file: pass the configuration with -c FILE".into()
    } else if kind == ErrorKind::PermissionDenied {
        "may not be read by this user: check its permissions and those of its directory".into()
    } else if kind == ErrorKind::IsADirectory {
        "is a directory: pass the file in it with -c FILE".into()
    } else {
        format!("cannot be read: {error}")
    }
}

fn source(name: String, order: usize, bytes: Vec<u8>) -> Result<Source, Box<Diagnostic>> {
    String::from_utf8(bytes).map(|text| Source::new(name.clone(), order, &text)).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let source = Source::new(name, order, &String::from_utf8_lossy(error.as_bytes()));
        Box::new(Diagnostic::new(&source, at..at + 1, String::new(), "not UTF-8 text from here on"))
    })
}

/// Reads the files that `main` includes, each once, in order of their paths.
pub(crate) fn included(
    main: &Document<'_>,
    main_path: &Path,
    problems: &mut Problems,
) -> Vec<(PathBuf, Source)> {
    let mut paths: Vec<(PathBuf, &std::ops::Range<usize>)> = Vec::new();
    for pattern in main.raw.include.iter().flatten() {
        match matches(&pattern.value, main_path) {
            Ok(found) if found.is_empty() => problems.warning(
                main.diagnostic(pattern.span.clone(), "no file matches; the path is relative to this file"),
            ),
            Ok(found) => paths.extend(found.into_iter().map(|path| (path, &pattern.span))),
            Err(message) => {
                problems.error(main.diagnostic(pattern.span.clone(), &message));
                problems.mark_incomplete();
            }
        }
    }
    paths.sort_by(|(a, _), (b, _)| a.cmp(b));
    paths.dedup_by(|(a, _), (b, _)| a == b);

    let mut sources = Vec::new();
    for (order, (path, span)) in paths.into_iter().enumerate() {
        match read(&path, order + 1) {
            Ok(source) => sources.push((path, source)),
            Err(diagnostic) => {
                problems.mark_incomplete();
                problems.error(match diagnostic.line() {
                    Some(_) => *diagnostic,
                    None => main
                        .diagnostic(span.clone(), &format!("{}: {}", path.display(), diagnostic.message())),
                });
            }
        }
    }
    sources
}

/// Where the main file and what it includes are, or may come to be: the directory of the file itself, and for each pattern
/// the one in which its first wildcard, or else its file, is. Those of links' targets count too.
pub(crate) fn directories(documents: &[Document<'_>], main_path: &Path) -> BTreeSet<PathBuf> {
    let directory = |path: &Path| match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let main = directory(main_path);
    let patterns = documents.iter().flat_map(|document| document.raw.include.iter().flatten());
    let included = patterns.map(|pattern| {
        let fixed: PathBuf = Path::new(&pattern.value)
            .components()
            .take_while(|part| {
                let part = part.as_os_str().to_string_lossy();
                Pattern::escape(&part) == part
            })
            .collect();
        let fixed = main.join(fixed);
        if Pattern::escape(&pattern.value) == pattern.value { directory(&fixed) } else { fixed }
    });
    let mut directories: BTreeSet<_> = included.chain([main.clone()]).collect();
    directories.extend(main_path.canonicalize().ok().map(|target| directory(&target)));
    directories
}

/// The paths that `pattern` matches. A pattern without wildcards stands for its path, there or not.
fn matches(pattern: &str, main_path: &Path) -> Result<Vec<PathBuf>, String> {
    let directory = main_path.parent().unwrap_or(Path::new(""));
    if Pattern::escape(pattern) == pattern {
        return Ok(vec![directory.join(pattern)]);
    }
    let directory = directory.to_str().ok_or("wildcards need a directory whose name is UTF-8 text")?;
    let full = Path::new(&Pattern::escape(directory)).join(pattern);
    // Editors leave .web.toml.swp and .#web.toml beside the files that they edit.
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found = glob::glob_with(&full.to_string_lossy(), options)
        .map_err(|error| format!("bad pattern: {}", error.msg))?;
    found
        // `include = ["*.toml"]` means the others.
        .filter(|path| !path.as_ref().is_ok_and(|path| is_same_file(path, main_path)))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{}: {}", error.path().display(), error.error()))
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
