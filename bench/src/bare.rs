//! `runsc` driven by hand: the same flags, order and root image as the driver, a bare Node process and nothing else.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::clock::look_again;
use crate::machine::{await_gone, milliseconds, sandbox_process};

/// Dials the host, says the first line, and dials again whenever the connection is gone.
const PROGRAM: &str = r"
const net = require('node:net');
const heap = require('node:crypto').randomBytes(8 << 20);
function dial() {
  const line = net.connect('/run/host/host.sock');
  line.on('connect', () => line.write(`line ${heap.length}\n`));
  line.on('error', () => {});
  line.on('close', () => setTimeout(dial, 2));
}
dial();
setInterval(() => {}, 1000);
";

/// One machine, started and parked by hand.
pub(crate) struct Bare {
    runsc: PathBuf,
    directory: tempfile::TempDir,
    listener: UnixListener,
    connection: Option<UnixStream>,
    root_image: PathBuf,
    /// The container's id; a new one for each restore.
    number: u32,
}

impl Bare {
    pub(crate) fn new(root_image: &Path) -> Result<Self> {
        let runsc = helmr_e2e::repository().join("tools/runsc");
        if !runsc.is_file() {
            bail!("{} is not there: run `script/setup`", runsc.display());
        }
        let directory = tempfile::Builder::new().prefix("helmr-bench-").tempdir()?;
        for part in ["bundle", "host", "program", "workspace"] {
            fs::create_dir(directory.path().join(part))?;
        }
        fs::write(directory.path().join("program/program.cjs"), PROGRAM)?;
        let listener = UnixListener::bind(directory.path().join("host/host.sock"))?;
        let bare = Self {
            runsc,
            directory,
            listener,
            connection: None,
            root_image: root_image.to_owned(),
            number: 1,
        };
        bare.write_spec()?;
        Ok(bare)
    }

    /// From the start command to the program's first line.
    pub(crate) fn start(&mut self) -> Result<f64> {
        let begun = Instant::now();
        self.runsc(&[
            "run",
            "-detach",
            "-bundle",
            &self.path("bundle").to_string_lossy(),
            &self.container(),
        ])?;
        self.first_line()?;
        Ok(milliseconds(begun))
    }

    /// From the pause command to the end of the last process.
    pub(crate) fn park(&mut self) -> Result<f64> {
        let sandbox = sandbox_process(&self.path("root").to_string_lossy())?;
        let begun = Instant::now();
        self.checkpoint()?;
        self.connection = None;
        // As the driver does: `runsc kill` refuses a paused container.
        kill(Pid::from_raw(sandbox), Signal::SIGKILL)?;
        await_gone(sandbox, begun)?;
        let taken = milliseconds(begun);
        self.delete(&self.container());
        Ok(taken)
    }

    /// A copy of it as it stands, which takes its place: until the copy's image is durable and it goes on, and until the
    /// copy's first line.
    pub(crate) fn fork(&mut self) -> Result<(f64, f64)> {
        let original = self.container();
        let begun = Instant::now();
        self.checkpoint()?;
        self.runsc(&["resume", &original])?;
        let copied = milliseconds(begun);
        // It would dial again, and be taken for the copy.
        let held = self.connection.take();
        let woke = self.wake()?;
        self.delete(&original);
        drop(held);
        Ok((copied, copied + woke))
    }

    /// A command in it, from the call to its end.
    pub(crate) fn exec(&self, command: &[&str]) -> Result<f64> {
        let container = self.container();
        let begun = Instant::now();
        self.runsc(&[&["exec", container.as_str()], command].concat())?;
        Ok(milliseconds(begun))
    }

    /// The directory of this host that it has as `/workspace`.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.path("workspace")
    }

    /// Pauses it and makes its image durable.
    fn checkpoint(&self) -> Result<()> {
        let image = self.path("image");
        self.runsc(&["pause", &self.container()])?;
        self.runsc(&[
            "checkpoint",
            "--leave-running",
            "--compression=none",
            "--exclude-committed-zero-pages",
            "--direct",
            "--image-path",
            &image.to_string_lossy(),
            &self.container(),
        ])?;
        for file in fs::read_dir(&image)? {
            File::open(file?.path())?.sync_all()?;
        }
        Ok(File::open(&image)?.sync_all()?)
    }

    /// From the restore command to the program's next line. Removes the image.
    pub(crate) fn wake(&mut self) -> Result<f64> {
        let image = self.path("image");
        self.number += 1;
        self.write_spec()?;
        let begun = Instant::now();
        self.runsc(&[
            "restore",
            "-detach",
            "-direct",
            "-bundle",
            &self.path("bundle").to_string_lossy(),
            "-image-path",
            &image.to_string_lossy(),
            &self.container(),
        ])?;
        self.first_line()?;
        let taken = milliseconds(begun);
        fs::remove_dir_all(image)?;
        Ok(taken)
    }

    fn first_line(&mut self) -> Result<()> {
        self.listener.set_nonblocking(true)?;
        let end = Instant::now() + Duration::from_secs(30);
        let connection = loop {
            match self.listener.accept() {
                Ok((connection, _)) => break connection,
                Err(error)
                    if error.kind() == std::io::ErrorKind::WouldBlock && Instant::now() < end =>
                {
                    look_again();
                }
                Err(error) => return Err(error).context("the bare machine did not dial"),
            }
        };
        connection.set_nonblocking(false)?;
        connection.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut line = String::new();
        BufReader::new(connection.try_clone()?).read_line(&mut line)?;
        self.connection = Some(connection);
        if line.starts_with("line ") {
            Ok(())
        } else {
            bail!("the bare machine said {line:?}")
        }
    }

    fn path(&self, part: &str) -> PathBuf {
        self.directory.path().join(part)
    }

    fn container(&self) -> String {
        format!("bare-{}", self.number)
    }

    fn runsc(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new(&self.runsc)
            .arg(format!("--root={}", self.path("root").display()))
            .args([
                "--platform=systrap",
                "--network=none",
                "--host-uds=open",
                "--restore-spec-validation=warning",
            ])
            .arg(format!(
                "--overlay2=root:dir={}",
                self.path("bundle").display()
            ))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(self.path("stderr"))?)
            .status()?;
        if output.success() {
            return Ok(());
        }
        bail!(
            "runsc {}: {output}: {}",
            arguments.join(" "),
            fs::read_to_string(self.path("stderr")).unwrap_or_default()
        )
    }

    fn delete(&self, container: &str) {
        // What is gone already needs no deleting.
        let _gone = self.runsc(&["delete", "-force", container]);
    }

    fn write_spec(&self) -> Result<()> {
        let spec = self.spec().to_string();
        Ok(fs::write(self.path("bundle/config.json"), spec)?)
    }

    fn spec(&self) -> serde_json::Value {
        let namespaces =
            ["pid", "mount", "ipc", "uts", "network"].map(|kind| json!({"type": kind}));
        let bind = |from: &str, to: &str, mode: &str| json!({"destination": to, "type": "bind", "source": self.path(from), "options": ["rbind", mode]});
        let tmpfs = |to: &str, mode: &str| json!({"destination": to, "type": "tmpfs", "source": "tmpfs", "options": [mode]});
        json!({
            "ociVersion": "1.0.0",
            "annotations": {
                "dev.gvisor.spec.rootfs.source": self.root_image,
                "dev.gvisor.spec.rootfs.type": "erofs",
                "dev.gvisor.spec.rootfs.overlay": format!("dir={}", self.path("bundle").display()),
            },
            "process": {
                "user": {"uid": 0, "gid": 0}, "terminal": false, "cwd": "/workspace",
                "args": ["/usr/local/bin/node", "/run/program/program.cjs"],
                "env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "capabilities": {},
            },
            "root": {"path": self.path("bundle"), "readonly": false},
            "hostname": "bare",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                tmpfs("/dev", "mode=755"),
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts"},
                tmpfs("/dev/shm", "mode=1777"),
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
                tmpfs("/tmp/.X11-unix", "mode=1777"),
                bind("host", "/run/host", "rw"), bind("program", "/run/program", "ro"),
                bind("workspace", "/workspace", "rw"),
            ],
            "linux": {
                "cgroupsPath": format!("/helmr-bench-{}-{}", std::process::id(), self.number),
                "resources": {
                    "cpu": {"quota": 100_000, "period": 100_000},
                    "memory": {"limit": 1_u64 << 30},
                },
                "namespaces": namespaces,
            },
        })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.delete(&self.container());
        let _unmounted = Command::new("umount")
            .arg("-l")
            .arg(self.path("root/null-netns"))
            .stderr(Stdio::null())
            .status();
    }
}
