//! The task project: a folder with `helmr.config.ts`.

use std::path::{Path, PathBuf};

use crate::error::CommandError;

const CONFIGS: [&str; 4] = [
    "helmr.config.ts",
    "helmr.config.mts",
    "helmr.config.js",
    "helmr.config.mjs",
];

/// A task project on this machine.
#[derive(Debug)]
pub(crate) struct Project {
    root: PathBuf,
}

impl Project {
    /// Takes the folder, or the folder of the configuration file.
    pub(crate) fn find(given: &Path) -> Result<Self, CommandError> {
        let shown = given.display();
        let path = given.canonicalize().map_err(|error| {
            CommandError::usage(format!("there is no project at {shown}")).because(&error)
        })?;
        let root = match path.file_name().and_then(|name| name.to_str()) {
            Some(name) if CONFIGS.contains(&name) => {
                path.parent().map(Path::to_owned).unwrap_or_default()
            }
            _ => path,
        };
        if !root.is_dir() {
            return Err(CommandError::usage(format!("{shown} is not a folder"))
                .hint("name the folder with helmr.config.ts"));
        }
        if CONFIGS.iter().any(|name| root.join(name).is_file()) {
            return Ok(Self { root });
        }
        let error = CommandError::failed(format!("there is no helmr.config.ts in {shown}"));
        Err(match above(&root) {
            Some(found) => error.hint(format!("there is one in {}", found.display())),
            None => error.hint("a project has one: export default defineConfig({ project: \"main\", dirs: [\"tasks\"] })"),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

fn above(root: &Path) -> Option<&Path> {
    root.ancestors()
        .skip(1)
        .find(|folder| CONFIGS.iter().any(|name| folder.join(name).is_file()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::style::Style;

    #[test]
    fn a_project_is_found_by_folder_or_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("helmr.config.ts");
        std::fs::write(&config, "").unwrap();
        let root = folder.path().canonicalize().unwrap();
        assert_eq!(Project::find(folder.path()).unwrap().root(), root);
        assert_eq!(Project::find(&config).unwrap().root(), root);
    }

    #[test]
    fn a_folder_inside_a_project_points_to_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("helmr.config.ts"), "").unwrap();
        let inside = folder.path().join("tasks");
        std::fs::create_dir(&inside).unwrap();
        let text = Project::find(&inside).unwrap_err().render(Style::plain());
        assert!(text.contains("there is one in"), "{text}");
    }
}
