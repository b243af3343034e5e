"use strict";
// Sounds as the Web Audio API has them: embedded ones from scripts, others over the web where that is allowed.
timbreflow.sounds = (() => {
  const MOST_DECODED = 24;
  const RATE_HZ = 48_000; // of all sounds once they are decoded, so that nothing is resampled while it plays
  const decoded = new Map(); // from key or address to a promise of an AudioBuffer, the oldest first
  const received = new Map();
  let context = null;

  // The context of all sounds, made when the first is to be heard: browsers complain of one before a key or a click.
  const audio = () => (context ??= new AudioContext({ latencyHint: "interactive", sampleRate: RATE_HZ }));

  const decode = (data) => new OfflineAudioContext(1, 1, RATE_HZ).decodeAudioData(data);

  timbreflow.receiveSound = (key, text) => {
    received.set(key, Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
  };

  const remembered = (name, load) => {
    const sound = decoded.get(name) ?? load();
    decoded.delete(name);
    decoded.set(name, sound);
    sound.catch(() => decoded.delete(name));
    for (const oldest of [...decoded.keys()].slice(0, Math.max(0, decoded.size - MOST_DECODED))) decoded.delete(oldest);
    return sound;
  };

  const embedded = (key) =>
    remembered(key, async () => {
      await timbreflow.loadScript(`sounds/${key}.js`);
      const bytes = received.get(key);
      received.delete(key);
      return decode(bytes.buffer);
    });

  const fetched = (address) =>
    remembered(address, async () => {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(`${answer.status} for ${address}`);
      return decode(await answer.arrayBuffer());
    });

  // A page may read nothing of the disk, also if it lies there itself.
  const mayFetch = (address) => new URL(address, location.href).protocol !== "file:";

  return { audio, embedded, fetched, mayFetch };
})();
