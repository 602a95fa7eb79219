// What can be told from the files alone: nothing inline, no markup from strings, nothing from elsewhere, no weight.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const ROOT = fileURLToPath(new URL('../../static/', import.meta.url));
const WEIGHT_MAX = 44 * 1024;

const files = readdirSync(ROOT, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(ROOT, join(entry.parentPath ?? entry.path, entry.name)))
  .sort();
const text = (file) => readFileSync(join(ROOT, file), 'utf8');
const scripts = files.filter((file) => file.endsWith('.js'));
const withoutComments = (file) => text(file).replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '').replace(/^\s*\n/gm, '');

test('the page has no inline code or style, and refers to its own files by relative paths', () => {
  const html = text('index.html');
  assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/i);
  for (const [, address] of html.matchAll(/\s(?:href|src)="([^"]*)"/g)) {
    assert.match(address, /^\.\/assets\//);
    assert.ok(files.includes(address.slice('./assets/'.length)), `${address} is there`);
  }
});

test('every module is fetched in one go, not one after the other', () => {
  const html = text('index.html');
  for (const file of scripts) assert.ok(html.includes(`"./assets/${file}"`), file);
});

test('no string ever becomes markup, code or style', () => {
  const forbidden = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|srcdoc|\beval\(|new Function|setAttribute\('(?:style|on)|javascript:/;
  for (const file of scripts) assert.doesNotMatch(withoutComments(file), forbidden, file);
});

test('modules import nothing but their own neighbours', () => {
  for (const file of scripts) {
    for (const [, address] of withoutComments(file).matchAll(/(?:from|import)\s*\(?'([^']+)'/g)) assert.match(address, /^\.\.?\//, `${file}: ${address}`);
  }
});

test('the library does not know the page', () => {
  for (const file of scripts.filter((name) => name.startsWith('wardroom'))) assert.doesNotMatch(text(file), /\/page\//, file);
});

test('no token reaches a storage', () => {
  for (const file of scripts) assert.doesNotMatch(withoutComments(file), /setItem\([^)]*token/i, file);
});

test('page and library weigh less than 44 KiB, each file gzipped by itself, comments aside', () => {
  const weight = files.reduce((sum, file) => sum + gzipSync(/\.(js|css)$/.test(file) ? withoutComments(file) : text(file), { level: 9 }).length, 0);
  assert.ok(weight < WEIGHT_MAX, `${weight} bytes`);
});
