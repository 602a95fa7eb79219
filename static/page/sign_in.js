import { byId } from './dom.js';

/**
 * The first thing that a person sees: a nickname in development, else a field for a token.
 *
 * @typedef {{ nick: string, token: string }} Answer
 */
export class SignIn {
  #place = byId('sign-in');
  #form = /** @type {HTMLFormElement} */ (byId('sign-in-form'));
  #input = /** @type {HTMLInputElement} */ (byId('credential'));
  #nick = /** @type {HTMLInputElement} */ (byId('chosen-nick'));
  #error = byId('sign-in-error');
  #button = /** @type {HTMLButtonElement} */ (byId('sign-in-button'));

  /**
   * @param {{ title: string, development: boolean }} settings
   * @param {(answer: Answer) => Promise<void>} signIn rejects with an error that is shown
   * @param {(error: any) => string} explain
   */
  constructor({ title, development }, signIn, explain) {
    this.explain = explain;
    byId('sign-in-title').textContent = title;
    byId('credential-label').textContent = development ? 'Nickname' : 'Access token';
    byId('sign-in-lead').textContent = development
      ? 'Choose a name and come in. No account is needed while this server runs in development.'
      : 'Paste an access token of your identity provider. It stays in this window’s memory and is gone when you close it.';
    byId('chosen-nick-field').hidden = development;
    this.#input.type = development ? 'text' : 'password';
    this.#input.setAttribute('autocomplete', development ? 'nickname' : 'off');
    this.#input.maxLength = development ? 32 : 8192;
    this.#form.addEventListener('submit', async (event) => {
      event.preventDefault();
      const value = this.#input.value.trim();
      if (!value) return this.#tell(development ? 'Enter a nickname.' : 'Enter an access token.');
      this.#button.disabled = true;
      this.#tell('');
      try {
        await signIn(development ? { nick: value, token: '' } : { nick: this.#nick.value.trim(), token: value });
        if (!development) this.#input.value = '';
      } catch (error) {
        this.#tell(explain(error));
      } finally {
        this.#button.disabled = false;
      }
    });
  }

  /** @param {{ nick?: string, words?: string, kept?: boolean }} [options] */
  show({ nick = '', words = '', kept = false } = {}) {
    if (nick && this.#input.type === 'text') this.#input.value = nick;
    byId('sign-in-kept').hidden = !kept;
    this.#place.hidden = false;
    this.#tell(words);
    this.#input.focus();
    this.#input.select();
  }

  hide() {
    this.#place.hidden = true;
  }

  #tell(words) {
    this.#error.textContent = words;
    this.#error.hidden = words === '';
    this.#input.setAttribute('aria-invalid', String(words !== ''));
    if (words) this.#input.focus();
  }
}
