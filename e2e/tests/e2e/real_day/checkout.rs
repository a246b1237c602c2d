//! A repository as a developer has it: with history, a merge, a link, a program, packed objects and a dependency that is a
//! tarball.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use helmr_e2e::repository;

/// What the tests of the repository want, and its code does not do yet.
const GREET_TEST: &str = r#"import assert from "node:assert/strict";
import { test } from "node:test";
import { greet } from "../src/greet.js";

test("a name is written as one", () => assert.equal(greet("ada"), "Hello, Ada."));
"#;

/// One on this computer.
pub(super) struct Checkout {
    pub(super) path: PathBuf,
}

impl Checkout {
    /// Makes it in `parent`.
    pub(super) fn make(parent: &Path) -> Result<Self> {
        let checkout = Self {
            path: parent.join("greeter"),
        };
        fs::create_dir(&checkout.path)?;
        checkout.git(&["init", "--quiet", "--initial-branch=main"])?;
        for (name, value) in [("name", "Ada"), ("email", "ada@example.com")] {
            checkout.git(&["config", &format!("user.{name}"), value])?;
        }
        let package = r#"{"name": "greeter", "version": "1.0.0", "type": "module", "scripts": {"test": "node --test"}}"#;
        checkout.write("package.json", package)?;
        checkout.write(".gitignore", "node_modules/\n")?;
        checkout.write(
            "src/greet.js",
            "export const greet = (name) => `Hello, ${name}.`;\n",
        )?;
        checkout.commit("Greet")?;
        checkout.write("test/greet.test.js", GREET_TEST)?;
        checkout.commit("Say how a name is written")?;

        checkout.git(&["switch", "--quiet", "--create", "program"])?;
        let program = "#!/usr/bin/env node\nimport { greet } from \"../src/greet.js\";\nconsole.log(greet(process.argv[2]));\n";
        checkout.write("bin/greet", program)?;
        checkout.run(Command::new("chmod").args(["755", "bin/greet"]))?;
        checkout.run(Command::new("ln").args(["-s", "bin/greet", "greet"]))?;
        checkout.commit("A program")?;
        checkout.git(&["switch", "--quiet", "main"])?;
        checkout.pack_words(&parent.join("words"))?;
        checkout.commit("The words package, until it is published")?;
        checkout.git(&["merge", "--quiet", "--no-edit", "program"])?;
        checkout.git(&["tag", "v1.0.0"])?;
        // Packs are files without a write bit, and most of a repository that was cloned.
        checkout.git(&["gc", "--quiet"])?;
        Ok(checkout)
    }

    /// The ids of all commits, newest first.
    pub(super) fn commits(&self) -> Result<Vec<String>> {
        let log = self.git(&["log", "--format=%H"])?;
        Ok(log.lines().map(str::to_owned).collect())
    }

    /// Makes `vendor/words-1.0.0.tgz` of a package that lies beside the repository.
    fn pack_words(&self, package: &Path) -> Result<()> {
        fs::create_dir(package)?;
        fs::write(
            package.join("package.json"),
            r#"{"name": "words", "version": "1.0.0", "type": "module", "exports": "./words.js"}"#,
        )?;
        fs::write(
            package.join("words.js"),
            "export const capital = (word) => word[0].toUpperCase() + word.slice(1);\n",
        )?;
        let vendor = self.path.join("vendor");
        fs::create_dir(&vendor)?;
        let node = repository().join(".helmr/toolchain/node");
        let npm = node.join("lib/node_modules/npm/bin/npm-cli.js");
        let mut pack = Command::new(node.join("bin/node"));
        pack.arg(npm)
            .args(["pack", "--silent", "--pack-destination"]);
        self.run(pack.arg(vendor).arg(package)).map(drop)
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.path.join(path);
        fs::create_dir_all(path.parent().context("a path in the repository")?)?;
        Ok(fs::write(path, text)?)
    }

    fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message])
            .map(drop)
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        // Whoever runs the tests may sign their commits.
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        self.run(command.args(arguments))
    }

    fn run(&self, command: &mut Command) -> Result<String> {
        let output = command.current_dir(&self.path).output()?;
        ensure!(output.status.success(), "{command:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }
}
