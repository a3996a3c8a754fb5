//! Writes the built app as a table of files in Rust: each with its media type, a name of its content, and its
//! bytes as they are and compressed.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::paths::told;

/// The page itself.
const PAGE: &str = "index.html";
/// Most files that an app may have.
const MAX_FILES: usize = 256;
/// Most bytes that they may have together: they are in every binary.
const MAX_BYTES: usize = 16 << 20;
/// What a compressed form must save to be worth having, as one part in so many.
const WORTH_ONE_IN: usize = 20;

/// The table of the files below `directory`; compressed ones are written to `scratch`.
///
/// # Errors
/// Why there is none, in a line.
pub(crate) fn table_of(directory: &Path, scratch: &Path) -> Result<String, String> {
    let directory = std::fs::canonicalize(directory).map_err(|e| told(directory, &e))?;
    let mut paths = Vec::new();
    find(&directory, &mut paths)?;
    paths.sort();
    if !paths.contains(&directory.join(PAGE)) {
        return Err(format!("{} holds no {PAGE}", directory.display()));
    }
    let packed = scratch.join("dashboard-packed");
    std::fs::create_dir_all(&packed).map_err(|e| told(&packed, &e))?;
    let (mut table, mut total) = ("const FILES: &[File] = &[\n".to_owned(), 0);
    for (n, path) in paths.iter().enumerate() {
        let bytes = std::fs::read(path).map_err(|e| told(path, &e))?;
        total += bytes.len();
        if total > MAX_BYTES {
            return Err(format!(
                "{} holds over {MAX_BYTES} bytes",
                directory.display()
            ));
        }
        let name = path
            .strip_prefix(&directory)
            .expect("it was found below it");
        let name = name
            .to_str()
            .ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
        let gzip = match packed_form(&bytes) {
            None => "None".to_owned(),
            Some(form) => {
                let file = packed.join(format!("{n}.gz"));
                std::fs::write(&file, form).map_err(|e| told(&file, &e))?;
                format!("Some(include_bytes!({file:?}))")
            }
        };
        let (media, etag) = (media_type(name), content_name(&bytes));
        let _ = writeln!(
            table,
            "File {{ path: {name:?}, media_type: {media:?}, content: {etag:?}, plain: include_bytes!({path:?}), gzip: {gzip} }},"
        );
    }
    table.push_str("];\nconst MISSING: Option<&str> = None;\n");
    Ok(table)
}

/// The table of a build without the app, which says why.
pub(crate) fn empty_table(why: &str) -> String {
    format!("const FILES: &[File] = &[];\nconst MISSING: Option<&str> = Some({why:?});\n")
}

fn find(directory: &Path, paths: &mut Vec<PathBuf>) -> Result<(), String> {
    for entry in std::fs::read_dir(directory).map_err(|e| told(directory, &e))? {
        let path = entry.map_err(|e| told(directory, &e))?.path();
        match path.is_dir() {
            true => find(&path, paths)?,
            false => paths.push(path),
        }
        if paths.len() > MAX_FILES {
            return Err(format!(
                "{} holds over {MAX_FILES} files",
                directory.display()
            ));
        }
    }
    Ok(())
}

/// The compressed form, where it is worth having: of an image, say, it is not.
fn packed_form(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("a vector takes everything");
    let packed = encoder.finish().expect("a vector takes everything");
    (packed.len() + bytes.len() / WORTH_ONE_IN < bytes.len()).then_some(packed)
}

/// Another name for other content. It need not be the same in other builds.
fn content_name(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("{:016x}", hasher.finish())
}

fn media_type(name: &str) -> &'static str {
    let (_, extension) = name.rsplit_once('.').unwrap_or_default();
    match extension {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
