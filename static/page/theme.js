const KEY = 'wardroom-theme';
const THEMES = ['auto', 'light', 'dark'];
const NAMES = { auto: 'Auto colours', light: 'Light', dark: 'Dark' };

/** A button that goes through automatic, light and dark. @param {HTMLElement} button */
export function bindTheme(button) {
  let theme = read();
  const show = () => {
    document.documentElement.dataset.theme = theme;
    button.textContent = NAMES[/** @type {keyof typeof NAMES} */ (theme)];
  };
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    show();
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // It lasts as long as the page.
    }
  });
  show();
}

function read() {
  try {
    const kept = localStorage.getItem(KEY) ?? 'auto';
    return THEMES.includes(kept) ? kept : 'auto';
  } catch {
    return 'auto';
  }
}
