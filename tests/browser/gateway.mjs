// The gateway under test: `wardroom dev` on free ports in a directory of its own, ended by its process id.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { until } from './until.mjs';

export class Gateway {
  #child = null;
  /** Everything it printed. */
  output = '';

  constructor({ bin, directory, port, adminPort, variables }) {
    Object.assign(this, { bin, directory, port, adminPort, variables });
    this.origin = `https://localhost:${port}`;
    this.ca = join(directory, 'certs/dev/ca.crt');
  }

  /** @param {Record<string, unknown>} [variables] configuration, as WARDROOM__SECTION__KEY */
  static async start(bin, directory, variables = {}) {
    const gateway = new Gateway({ bin, directory, port: await freePort(), adminPort: await freePort(), variables });
    await gateway.start();
    return gateway;
  }

  async start() {
    const env = {
      ...process.env, ...this.variables,
      WARDROOM__LISTEN__PUBLIC: `127.0.0.1:${this.port}`, WARDROOM__LISTEN__ADMIN: `127.0.0.1:${this.adminPort}`,
    };
    const child = spawn(this.bin, ['dev'], { cwd: this.directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    const hear = (data) => (this.output += data);
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('error', (error) => (this.output += error));
    await until('the gateway is ready', 20_000, async () => {
      if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}:\n${this.output}`);
      return existsSync(this.ca) && (await status(this.adminPort, '/readyz')) === 200;
    });
  }

  /** The links that it printed, for two people who need not sign in. */
  get links() {
    return [...this.output.matchAll(/https:\/\/localhost:\d+\/#token=[\w.-]+/g)].map(([link]) => link);
  }

  /** At once and unannounced, as a crash is. */
  async kill() {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function status(port, path) {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path }, (answer) => resolve(answer.resume().statusCode)).on('error', () => resolve(0));
  });
}
