// Bundles the page: node build.js [--outdir=FOLDER] (default: dist, beside this file).
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({ options: { outdir: { type: "string" } } });
// A relative folder is meant from where the command was typed, which npm remembers.
const outdir = path.resolve(process.env.INIT_CWD ?? ".", values.outdir ?? path.join(here, "dist"));

/** The licences of all packages that ended up in the bundle; of those that bring none, what is in the folder licences. */
async function licences(metafile) {
  const inputs = Object.keys(metafile.inputs).map((input) => input.match(/^node_modules\/(@[^/]+\/)?[^/]+/)?.[0]);
  const texts = [];
  for (const folder of [...new Set(inputs)].filter(Boolean).sort()) {
    const { name, version, license } = JSON.parse(await readFile(path.join(here, folder, "package.json"), "utf8"));
    const file = (await readdir(path.join(here, folder))).find((entry) => /^licen[cs]e/i.test(entry));
    const own = path.join(here, "licences", `${path.basename(folder)}.txt`);
    const text = await readFile(file ? path.join(here, folder, file) : own, "utf8");
    texts.push(`${name} ${version} (${license})\n\n${text.trim()}\n`);
  }
  return texts.join("\n" + "-".repeat(72) + "\n\n");
}

/** The file's address with a digest of its content, so that no browser shows an old one after an update. */
async function address(file) {
  const digest = createHash("sha256").update(await readFile(path.join(outdir, file))).digest("hex");
  return `${file}?${digest.slice(0, 12)}`;
}

await mkdir(outdir, { recursive: true });
const files = ["app.js", "app.css", "index.html", "icon.svg", "licences.txt"];
for (const file of files.flatMap((name) => [name, `${name}.gz`])) {
  await rm(path.join(outdir, file), { force: true });
}
const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.js" },
  outdir,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2021",
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});
let page = await readFile(path.join(here, "src/index.html"), "utf8");
for (const file of ["app.js", "app.css"]) {
  page = page.replace(`"${file}"`, `"${await address(file)}"`);
}
await writeFile(path.join(outdir, "index.html"), page);
await cp(path.join(here, "src/icon.svg"), path.join(outdir, "icon.svg"));
await writeFile(path.join(outdir, "licences.txt"), await licences(metafile));
// Beforehand, so that the Pi need not for each visitor: nginx sends these to who takes them.
for (const file of files) {
  await writeFile(path.join(outdir, `${file}.gz`), gzipSync(await readFile(path.join(outdir, file)), { level: 9 }));
}
console.log(`map page: ${outdir}`);
