// SPDX-License-Identifier: GPL-2.0-or-later
// parse.mjs MODULES FILE: parses a PowerShell script with the tree-sitter grammar; prints where it does not fit, and then
// ends with 1. MODULES is the node_modules directory that has web-tree-sitter and tree-sitter-powershell.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, file] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), 'x.js'));
const { Parser, Language } = await import(pathToFileURL(require.resolve('web-tree-sitter')));
await Parser.init();
const grammar = path.join(modules, 'tree-sitter-powershell', 'tree-sitter-powershell.wasm');
const parser = new Parser();
parser.setLanguage(await Language.load(grammar));
const tree = parser.parse(fs.readFileSync(file, 'utf8').replace(/^\ufeff/, ''));

let count = 0;
function visit(node) {
    if (node.isError || node.isMissing) {
        count++;
        const text = node.isMissing ? `missing ${node.type}` : node.text.slice(0, 60).split('\n')[0];
        console.log(`${file}:${node.startPosition.row + 1}:${node.startPosition.column + 1}: ${text}`);
    }
    node.children.forEach(visit);
}
visit(tree.rootNode);
console.log(`${tree.rootNode.descendantCount} nodes, ${count} errors`);
process.exit(count || tree.rootNode.hasError ? 1 : 0);
