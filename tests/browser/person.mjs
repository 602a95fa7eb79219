// Somebody at a browser of their own: what they do with the page, and everything that went wrong while they did.
import { until } from './until.mjs';

export class Person {
  /** Console errors, exceptions, policy violations and requests to elsewhere. */
  problems = [];
  /** What has to be expected while the network or the gateway is away. */
  excused = null;

  static async arrive(browser, name, origin, options = {}) {
    const person = new Person();
    person.name = name;
    person.origin = origin;
    person.context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: 'light', locale: 'en-GB', ...options });
    person.page = await person.context.newPage();
    await person.#watch();
    return person;
  }

  async #watch() {
    const { page, context, origin } = this;
    page.setDefaultTimeout(10_000);
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.#problem(message.text());
    });
    page.on('pageerror', (error) => this.#problem(error.stack ?? String(error)));
    page.on('dialog', (dialog) => (this.#problem(`dialog: ${dialog.message()}`), dialog.dismiss()));
    await context.exposeBinding('tellTest', (_, words) => this.#problem(words));
    await context.addInitScript(() => addEventListener('securitypolicyviolation', (event) => {
      window.tellTest(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    }));
    await context.route((url) => url.origin !== origin, (route) => {
      this.#problem(`a request to ${route.request().url()}`);
      return route.abort();
    });
  }

  #problem(words) {
    if (!this.excused?.test(words)) this.problems.push(`${this.name}: ${words}`);
  }

  get log() {
    return this.page.getByRole('log');
  }

  get composer() {
    return this.page.getByRole('textbox', { name: 'Message' });
  }

  get status() {
    return this.page.getByRole('status');
  }

  async open(address = `${this.origin}/`) {
    await this.page.goto(address);
  }

  async enter() {
    await this.page.getByRole('textbox', { name: 'Nickname' }).fill(this.name);
    await this.page.getByRole('button', { name: 'Enter' }).click();
    await this.is('online');
  }

  async is(word, deadlineMs = 10_000) {
    await until(`${this.name} is ${word}`, deadlineMs, async () => (await this.status.innerText()).startsWith(word));
  }

  async say(text) {
    await this.composer.fill(text);
    await this.composer.press('Enter');
  }

  /** Faster than hands can. */
  async burst(texts) {
    await this.composer.evaluate((field, all) => {
      for (const text of all) {
        field.value = text;
        field.dispatchEvent(new Event('input', { bubbles: true }));
        field.form.requestSubmit();
      }
    }, texts);
  }

  /** The texts in the log, in order, sent and pending. */
  texts() {
    return this.log.locator('.text').allInnerTexts();
  }

  async count(text) {
    return (await this.texts()).filter((shown) => shown === text).length;
  }

  async sees(text, deadlineMs = 10_000) {
    await until(`${this.name} sees “${text}”`, deadlineMs, async () => (await this.count(text)) > 0);
  }

  /** The line of a message. */
  item(text) {
    return this.log.getByRole('listitem').filter({ hasText: text });
  }

  /** Nothing waits and nothing failed. */
  async settled(deadlineMs = 15_000) {
    await until(`all that ${this.name} wrote was acknowledged`, deadlineMs, async () => (await this.log.locator('.pending, .failed').count()) === 0);
  }

  async join(room) {
    await this.page.getByRole('textbox', { name: 'Join another room' }).fill(room);
    await this.page.getByRole('button', { name: 'Join', exact: true }).click();
    await this.page.getByRole('log', { name: `Messages in #${room}` }).waitFor();
  }

  async choose(room) {
    await this.page.locator(`[data-room="${room}"] .room`).click();
  }
}
