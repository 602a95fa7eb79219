// A certified provider in front of the real gateway: its own tokens, its own key set, its own rotation.
//
//   node run.mjs --bin PATH/TO/wardroom
//
// Prints `N passed, M failed`; ends within a minute.

import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';
import { WebSocket } from 'ws';

const at = process.argv.indexOf('--bin');
if (at < 0) throw new Error('usage: node run.mjs --bin PATH/TO/wardroom');
const bin = resolve(process.argv[at + 1]);

const folder = mkdtempSync(join(tmpdir(), 'wardroom-oidc-'));
const ending = [() => rmSync(folder, { recursive: true, force: true })];
let passed = 0;
let failed = 0;

const watchdog = setTimeout(() => {
  console.log('not ok - it took longer than 55 s');
  failed += 1;
  end();
}, 55_000);

/** Runs one promise; what it throws is what was wrong. */
async function promise(name, body) {
  try {
    await body();
    passed += 1;
    console.log(`ok - ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok - ${name}: ${error?.message ?? error}`);
  }
}

function equal(seen, expected, what) {
  if (JSON.stringify(seen) !== JSON.stringify(expected)) {
    throw new Error(`${what}: ${JSON.stringify(seen)} instead of ${JSON.stringify(expected)}`);
  }
}

/** Polls until a value satisfies, or says what it saw last. */
async function eventually(what, look, satisfied, within = 20_000) {
  const deadline = Date.now() + within;
  let seen;
  do {
    seen = await look();
    if (satisfied(seen)) return seen;
    await new Promise((next) => setTimeout(next, 100));
  } while (Date.now() < deadline);
  throw new Error(`${what} did not happen; seen last: ${JSON.stringify(seen)}`);
}

function part(token, index) {
  return JSON.parse(Buffer.from(token.split('.')[index], 'base64url'));
}

async function jwk(alg, kid) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, kid, use: 'sig' };
}

/** One issuer whose provider can be replaced: a rotation is another key set behind the same address. */
class Issuer {
  #handle = (_, response) => response.writeHead(503).end();
  #server = http.createServer((request, response) => this.#handle(request, response));

  async listen() {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
    ending.push(() => this.#server.closeAllConnections(), () => this.#server.close());
  }

  serve(keys) {
    const client = {
      client_id: 'backend',
      client_secret: 'test',
      id_token_signed_response_alg: 'ES256',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
    };
    const resource = {
      audience: 'wardroom',
      scope: 'chat chat:publish other',
      accessTokenFormat: 'jwt',
      accessTokenTTL: 300,
      jwt: { sign: { alg: 'ES256' } },
    };
    const provider = new Provider(this.url, {
      jwks: { keys },
      clients: [client],
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => 'urn:wardroom',
          useGrantedResource: () => true,
          getResourceServerInfo: () => resource,
        },
      },
      extraTokenClaims: () => ({ rooms: ['*'], nickname: 'Backend' }),
    });
    this.#handle = provider.callback();
  }

  async token(scope) {
    const answer = await fetch(`${this.url}/token`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from('backend:test').toString('base64')}`,
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ grant_type: 'client_credentials', scope, resource: 'urn:wardroom' }),
    });
    const body = await answer.json();
    if (!answer.ok) throw new Error(`the provider says ${answer.status} ${JSON.stringify(body)}`);
    return body.access_token;
  }
}

/** `wardroom serve` with this issuer, until its line `listening`. */
async function gateway(issuer) {
  execFileSync(bin, ['cert', '--out', join(folder, 'certs')]);
  writeFileSync(
    join(folder, 'wardroom.toml'),
    `[listen]
public = "127.0.0.1:0"
admin = "127.0.0.1:0"
[tls]
cert_file = "certs/tls.crt"
key_file = "certs/tls.key"
[admission]
allowed_origins = ["https://chat.test"]
[limits]
jwks_unknown_kid_interval_s = 5
auth_failures_per_ip_per_min = 1000
[[auth.issuers]]
issuer = "${issuer.url}"
audience = ["wardroom"]
discovery = true
`,
  );
  const options = { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] };
  const child = spawn(bin, ['serve', '--config', 'wardroom.toml'], options);
  ending.push(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  const listening = await new Promise((found, gone) => {
    lines.on('line', (line) => {
      const said = JSON.parse(line);
      if (said.message === 'listening') found(said);
    });
    lines.on('close', () => gone(new Error('it ended')));
  });
  return { child, address: listening.public, ca: readFileSync(join(folder, 'certs/ca.crt')) };
}

/** Opens a WebSocket: its session, or the status that it was refused with. */
function open(node, token) {
  return new Promise((done, fail) => {
    const ws = new WebSocket(`wss://${node.address}/ws/chat`, ['wardroom.v1'], {
      ca: node.ca,
      headers: { authorization: `Bearer ${token}` },
    });
    const frames = [];
    let arrived = () => {};
    ws.on('message', (data) => {
      frames.push(JSON.parse(data));
      arrived();
    });
    const expect = async (type) => {
      for (;;) {
        const index = frames.findIndex((frame) => frame.type === type);
        if (index >= 0) return frames.splice(index, 1)[0];
        await new Promise((next) => (arrived = next));
      }
    };
    const send = (frame) => ws.send(JSON.stringify(frame));
    ws.on('open', () => done({ status: 101, ws, expect, send }));
    ws.on('unexpected-response', (request, response) => {
      done({ status: response.statusCode });
      request.destroy();
    });
    ws.on('error', fail);
  });
}

async function status(node, token) {
  const session = await open(node, token);
  session.ws?.close(1000);
  return session.status;
}

function end() {
  clearTimeout(watchdog);
  for (const step of ending.reverse()) step();
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed === 0 ? 0 : 1);
}

const issuer = new Issuer();
await issuer.listen();
const first = await jwk('ES256', 'es-1');
issuer.serve([first]);

let node;
await promise('the gateway starts with a provider that it discovers', async () => {
  node = await gateway(issuer);
});
if (!node) end();

let old;
await promise('a token of the provider opens a session, and what is sent comes back', async () => {
  old = await issuer.token('chat');
  const { alg, typ, kid } = part(old, 0);
  equal([alg, typ, kid], ['ES256', 'at+jwt', 'es-1'], 'the header');
  const session = await open(node, old);
  equal(session.status, 101, 'the upgrade');
  equal(session.ws.protocol, 'wardroom.v1', 'the subprotocol');
  equal((await session.expect('welcome')).user.nick, 'Backend', 'the nickname of the claim');
  session.send({ type: 'join', id: '1', room: 'lobby' });
  await session.expect('joined');
  session.send({ type: 'send', id: '2', room: 'lobby', text: 'from a machine' });
  equal((await session.expect('message')).text, 'from a machine', 'the message');
  session.ws.close(1000);
});

await promise('a scope that is not ours and a signature that is not theirs are refused', async () => {
  equal(await status(node, await issuer.token('other')), 403, 'another scope');
  const [head, body, signature] = old.split('.');
  equal(await status(node, `${head}.${body}.${signature.slice(0, -8)}AAAAAAAA`), 401, 'another signature');
});

await promise('a rotation is followed: the new key when it is used, the old one until it leaves the set', async () => {
  const second = await jwk('ES256', 'es-2');
  issuer.serve([second, first]);
  const fresh = await issuer.token('chat');
  equal(part(fresh, 0).kid, 'es-2', 'the provider signs with its new key');
  await eventually('the new key is taken', () => status(node, fresh), (seen) => seen === 101);
  equal(await status(node, old), 101, 'a token of the old key');
  issuer.serve([await jwk('ES256', 'es-3')]);
  const latest = await issuer.token('chat');
  await eventually('the third key is taken', () => status(node, latest), (seen) => seen === 101);
  equal(await status(node, old), 401, 'a token of a key that was withdrawn');
});

await promise('SIGTERM ends it in order', async () => {
  const exit = once(node.child, 'exit');
  node.child.kill('SIGTERM');
  equal((await exit)[0], 0, 'the exit code');
});

end();
