import { Chat } from './chat.js';
import { Credential, tokenFromAddress } from './credential.js';
import { byId } from './dom.js';
import { Session } from './session.js';
import { SignIn } from './sign_in.js';
import { bindTheme } from './theme.js';
import { wordsFor } from './words.js';

const base = new URL('../../', import.meta.url);
let linked = tokenFromAddress();
bindTheme(byId('theme'));

const session = new Session();
const [settings] = await Promise.all([fetchSettings(), session.claim()]);
const { development, title } = settings;
document.title = title;
for (const place of document.querySelectorAll('.brand-name')) place.textContent = title;
for (const badge of document.querySelectorAll('.development')) /** @type {HTMLElement} */ (badge).hidden = !development;

const chat = new Chat({ base, settings, session, signedOut: leave });
const signIn = new SignIn(settings, enter, (error) => wordsFor(error.code ?? 'network', error.message));
byId('starting').remove();

addEventListener('hashchange', () => {
  linked = tokenFromAddress();
  if (linked && development) begin();
});
begin();

/** A link's token, or the nickname of before a reload, or a question. */
function begin() {
  if (development && linked) {
    const credential = new Credential({ base, token: linked, development });
    linked = '';
    if (session.kept.nick !== credential.nick) session.forget();
    return come(credential, credential.nick, '');
  }
  const { nick } = session.kept;
  if (development && nick) return come(new Credential({ base, nick, development }), nick, '');
  return signIn.show({ kept: keepsSomething() });
}

/** @param {import('./sign_in.js').Answer} answer */
async function enter({ nick, token }) {
  const credential = new Credential({ base, nick: development ? nick : '', token, development });
  await credential.token({ reason: 'connect' }); // a name that is refused is told at the form
  if (development && session.kept.nick && session.kept.nick !== nick) session.forget();
  come(credential, credential.nick, development ? '' : nick);
}

/** @param {Credential} credential @param {string} shown @param {string} chosen */
function come(credential, shown, chosen) {
  session.save({ nick: shown });
  signIn.hide();
  chat.start(credential, chosen);
}

/** Signed out by the gateway: what was written stays. Signed out by the person: nothing does. @param {{ code?: string, reason?: string }} event */
function leave({ code, reason }) {
  const { nick } = session.kept;
  chat.stop();
  document.title = title;
  if (code === 'left') session.forget();
  signIn.show({ nick: code === 'left' ? '' : nick, words: code === 'left' ? '' : wordsFor(code, reason), kept: code !== 'left' && keepsSomething() });
}

function keepsSomething() {
  return Object.keys(session.kept.drafts).length > 0 || (session.storage?.getItem(session.libraryKey) ?? '').includes('"text"');
}

/** @returns {Promise<import('./chat.js').Settings>} */
async function fetchSettings() {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      const response = await fetch(new URL('api/v1/page.json', base), { cache: 'no-store' });
      if (response.ok) return await response.json();
    } catch {
      // Told below, tried again.
    }
    byId('starting-words').textContent = wordsFor('network');
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
