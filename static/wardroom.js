/**
 * Wardroom's client library: no dependencies, no build step.
 *
 *   import { Wardroom } from 'https://chat.example/assets/wardroom.js';
 *   const chat = new Wardroom('https://chat.example', { getToken: () => fetch('/chat-token').then((r) => r.text()) });
 *   await chat.connect();
 *   const room = await chat.join('lobby');
 *   room.on('message', (message) => …);
 *   room.send('Hello');
 */
export { Wardroom } from './wardroom/client.js';
export { SignInRequired, WardroomError } from './wardroom/error.js';
