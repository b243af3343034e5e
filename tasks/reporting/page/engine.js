"use strict";
// The one audio engine of the page. Its tracks run together from one moment on, and only one of them is heard: to hear
// another changes two gains, so the position is kept and nothing is interrupted. A track repeats when it is shorter.
timbreflow.engine = (() => {
  const AHEAD_S = 0.03; // between the order to play and the first sample: all tracks are ready by then
  const FADE_S = 0.006; // of a change of gains: no click, and no pause that is heard
  const DRIFT_S = 0.05; // up to which a player of the browser's own may be off
  const LONGEST_MATCH = 4; // at most so much louder is a track made, to be as loud as the others

  let tracks = [];
  let chosen = 0;
  let playing = false;
  let origin = 0; // position, in s, at the time `begun` of the context's clock
  let begun = 0;
  let repeats = false;
  let matches = true;
  let loading = 0; // number of the newest request: what an older one has loaded is dropped
  let output = null;
  const listeners = [];

  const tell = () => listeners.forEach((listener) => listener());

  const outlet = () => {
    if (output) return output;
    const context = timbreflow.sounds.audio();
    const analyser = context.createAnalyser();
    const master = context.createGain();
    master.connect(analyser).connect(context.destination);
    output = { master, analyser };
    return output;
  };

  // Load tracks, {name, key | address, start, end, seconds}, and hold them ready. Resolves to the names of those that
  // cannot be played; to null if other tracks were asked for meanwhile.
  const load = async (wanted, first) => {
    stop();
    const request = ++loading;
    const made = await Promise.all(wanted.map(loaded));
    if (request !== loading) return null;
    tracks = made.filter((track) => track !== null);
    const place = tracks.findIndex((track) => track.name === first);
    chosen = place < 0 ? tracks.length - 1 : place;
    origin = 0;
    tell();
    return wanted.map((track) => track.name).filter((name) => !tracks.some((track) => track.name === name));
  };

  const loaded = async (track) => {
    if (!track.key && !track.address) return null;
    const { embedded, fetched, mayFetch } = timbreflow.sounds;
    if (!track.key && !mayFetch(track.address)) return location.protocol === "file:" ? played(track) : null;
    try {
      const buffer = await (track.key ? embedded(track.key) : fetched(track.address));
      const start = Math.min(track.start ?? 0, buffer.duration);
      const end = Math.min(track.end ?? buffer.duration, buffer.duration);
      return { name: track.name, buffer, start, seconds: end - start, rms: loudness(buffer, start, end) };
    } catch (problem) {
      return track.key ? null : played(track);
    }
  };

  // A sound that may be played and not read, such as a file of the disk, gets a player of the browser's own.
  const played = (track) =>
    new Promise((resolve) => {
      const element = new Audio(track.address);
      const start = track.start ?? 0;
      element.preload = "auto";
      element.muted = true;
      element.onerror = () => resolve(null);
      element.onloadedmetadata = () => {
        const end = Math.min(track.end ?? Infinity, element.duration);
        resolve(Number.isFinite(end) ? { name: track.name, element, start, seconds: end - start, rms: 0 } : null);
      };
    });

  const loudness = (buffer, start, end) => {
    const samples = buffer.getChannelData(0).subarray(start * buffer.sampleRate, end * buffer.sampleRate);
    let sum = 0;
    let peak = 0;
    for (const sample of samples) {
      sum += sample * sample;
      peak = Math.max(peak, Math.abs(sample));
    }
    return { rms: Math.sqrt(sum / Math.max(1, samples.length)), peak };
  };

  // Return the gain of a track: with equal loudness that which gives it the RMS of the last track, without clipping.
  const gainOf = (track) => {
    const target = tracks.at(-1);
    if (!matches || !track.rms?.rms || !target.rms?.rms) return 1;
    const gains = tracks.map((each) => (each.rms?.rms ? Math.min(LONGEST_MATCH, target.rms.rms / each.rms.rms) : 1));
    const loudest = Math.max(...tracks.map((each, place) => gains[place] * (each.rms?.peak ?? 0)));
    return gains[tracks.indexOf(track)] / Math.max(1, loudest);
  };

  const play = async () => {
    if (playing || !tracks.length) return;
    const context = timbreflow.sounds.audio();
    playing = true;
    begun = Infinity; // nothing runs yet
    origin %= length();
    await context.resume();
    if (!playing) return;
    begun = context.currentTime + AHEAD_S;
    tracks.forEach(begin);
    tell();
    requestAnimationFrame(watch);
  };

  const begin = (track, place) => {
    const offset = track.start + (origin % track.seconds);
    if (track.element) {
      track.element.currentTime = offset;
      track.element.muted = place !== chosen;
      track.element.play().catch(() => {});
      return;
    }
    const context = timbreflow.sounds.audio();
    track.gain = context.createGain();
    track.gain.gain.value = place === chosen ? gainOf(track) : 0;
    track.source = context.createBufferSource();
    Object.assign(track.source, { buffer: track.buffer, loop: true, loopStart: track.start, loopEnd: track.start + track.seconds });
    track.source.connect(track.gain).connect(outlet().master);
    track.source.start(begun, offset);
  };

  const pause = () => {
    if (!playing) return;
    origin = position();
    playing = false;
    for (const track of tracks) {
      track.element?.pause();
      track.source?.stop();
      track.source?.disconnect();
      track.gain?.disconnect();
      track.source = track.gain = null;
    }
    tell();
  };

  const stop = () => {
    pause();
    origin = 0;
  };

  // Hear another track: the others run on unheard.
  const choose = (name) => {
    const place = tracks.findIndex((track) => track.name === name);
    if (place < 0) return false;
    chosen = place;
    if (position() >= length()) seek(position() % length());
    gains();
    tell();
    return true;
  };

  const gains = () => {
    if (!playing) return;
    const now = timbreflow.sounds.audio().currentTime;
    tracks.forEach((track, place) => {
      if (track.element) {
        track.element.muted = place !== chosen;
        keepUp(track);
        return;
      }
      const { gain } = track.gain;
      gain.cancelScheduledValues(now);
      gain.setValueAtTime(gain.value, now);
      gain.linearRampToValueAtTime(place === chosen ? gainOf(track) : 0, now + FADE_S);
    });
  };

  // Bring a player of the browser's own to where the clock is, and back at the end of its excerpt.
  const keepUp = (track) => {
    const due = track.start + (position() % track.seconds);
    if (Math.abs(track.element.currentTime - due) > DRIFT_S) track.element.currentTime = due;
    if (track.element.paused) track.element.play().catch(() => {});
  };

  const position = () => {
    if (!playing) return origin;
    return origin + Math.max(0, timbreflow.sounds.audio().currentTime - begun);
  };

  // Return the length of what is played: the content's and the result's, and of a longer style all of it.
  const length = () => {
    const others = tracks.filter((track) => track.name !== "style").map((track) => track.seconds);
    const own = tracks[chosen]?.seconds ?? 0;
    return tracks[chosen]?.name === "style" ? Math.max(own, ...others) : Math.max(0, ...others) || own;
  };

  const seek = (seconds) => {
    const was = playing;
    pause();
    origin = Math.max(0, Math.min(seconds, Math.max(0, length() - 0.01)));
    tell();
    if (was) play();
  };

  const watch = () => {
    if (!playing) return;
    if (!repeats && position() >= length()) {
      stop();
      return;
    }
    tracks.filter((track, place) => track.element && place === chosen).forEach(keepUp);
    requestAnimationFrame(watch);
  };

  return {
    load,
    play,
    pause,
    stop,
    choose,
    seek,
    length,
    position,
    toggle: () => (playing ? pause() : play()),
    whenChanged: (listener) => listeners.push(listener),
    lengthOf: (name) => tracks.find((track) => track.name === name)?.seconds ?? 0,
    has: (name) => tracks.some((track) => track.name === name),
    // Where each track is in its own sound, in s.
    places: () => Object.fromEntries(tracks.map((track) => [track.name, position() % track.seconds])),
    // What is measured of the output, and who plays each track how loud.
    get analyser() {
      return outlet().analyser;
    },
    gainNodes: () => tracks.map((track) => track.gain),
    players: () =>
      tracks.map(({ name, gain, element }) => {
        if (element) return { name, gain: element.muted ? 0 : 1, time: element.currentTime };
        return { name, gain: gain?.gain.value ?? 0 };
      }),
    get playing() {
      return playing;
    },
    get chosen() {
      return tracks[chosen]?.name ?? null;
    },
    get repeats() {
      return repeats;
    },
    set repeats(wanted) {
      repeats = wanted;
      tell();
    },
    get matches() {
      return matches;
    },
    set matches(wanted) {
      matches = wanted;
      gains();
      tell();
    },
  };
})();
