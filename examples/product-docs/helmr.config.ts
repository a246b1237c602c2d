//! The task project made of the code in the product's documentation.
import { defineConfig } from "@helmr/sdk";

export default defineConfig({ project: "main", dirs: ["./tasks"] });
