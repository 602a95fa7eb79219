// The program in docs/record.md verifies a record that wardroom exported, and finds what was changed in it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const root = new URL('../../', import.meta.url);
const read = (name) => readFileSync(new URL(name, root), 'utf8');
const golden = read('tests/record/golden.jsonl');
const [, program] = read('docs/record.md').match(/```js\n(.*?)```/s);
const folder = mkdtempSync(join(tmpdir(), 'wardroom-record-'));
after(() => rmSync(folder, { recursive: true }));

const verify = (record) => {
  writeFileSync(join(folder, 'verify.mjs'), program);
  writeFileSync(join(folder, 'record.jsonl'), record);
  return spawnSync(process.execPath, ['verify.mjs', 'record.jsonl'], { cwd: folder, encoding: 'utf8' });
};

test('the program in docs/record.md verifies an exported record', () => {
  const { status, stdout, stderr } = verify(golden);
  assert.equal(status, 0, stderr);
  const { head_hash: head } = JSON.parse(golden.trimEnd().split('\n').at(-1));
  assert.equal(stdout, `lobby: offsets 1 to 6, head hash ${head}\n`);
});

test('it verifies deletions, and finds what was changed in one', () => {
  const moderated = read('tests/record/golden_deletion.jsonl');
  assert.equal(verify(moderated).status, 0, verify(moderated).stderr);
  for (const [was, is] of [['"deletes":[2,', '"deletes":[1,'], ['a card number', 'a bad joke']]) {
    const changed = moderated.replace(was, is);
    assert.notEqual(changed, moderated, was);
    assert.match(verify(changed).stderr, /digest/, was);
  }
});

test('it finds what was changed', () => {
  for (const [was, is] of [
    ['"Hello"', '"Hallo"'],
    ['"nick":"Robert"', '"nick":"Rupert"'],
    ['12:00:05.005Z', '12:00:05.006Z'],
    ['"to be withheld"', '"to be with-held"'],
    ['"visit":"went"', '"visit":"came"'],
    ['"room":"lobby"', '"room":"lobbx"'],
    ['"wardroom":"0', '"wardroom":"1'],
  ]) {
    const changed = golden.replace(was, is);
    assert.notEqual(changed, golden, was);
    assert.notEqual(verify(changed).status, 0, was);
  }
});
