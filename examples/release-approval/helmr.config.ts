//! The task project of the release approval.
import { defineConfig } from "@helmr/sdk";

export default defineConfig({ project: "main", dirs: ["./tasks"] });
