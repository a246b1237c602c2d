//! The task project of the release agent.
import { defineConfig } from "@helmr/sdk";

export default defineConfig({ project: "main", dirs: ["./tasks"] });
