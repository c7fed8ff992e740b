// Live updates and keys. Every page can be read and used without this file.
'use strict';
(() => {
  // The fetched pages are our own, rendered by templates that escape; the policy of the pages asks for this one door.
  const html = window.trustedTypes
    ? window.trustedTypes.createPolicy('scimbridge', { createHTML: (s) => s })
    : { createHTML: (s) => s };

  // A link of `scimbridge console` fills a form; the press of its button is spared.
  const link = document.getElementById('signin-link');
  if (link) { link.submit(); return; }

  const state = document.getElementById('live-state');
  const say = (text) => { if (state && state.textContent !== text) state.textContent = text; };

  // Parts of the page, [data-part], are replaced by those of the page as it is now, unless somebody is at work in them.
  let loading = false;
  let again = false;
  const refresh = async () => {
    if (document.hidden || loading) { again = true; return; }
    loading = true;
    again = false;
    try {
      const answer = await fetch(location.href, { headers: { 'Scimbridge-Live': '1' }, credentials: 'same-origin' });
      if (answer.status === 401) { say('Signed out. Load the page again.'); return; }
      if (answer.redirected && document.querySelector('[data-poll]')) { location.assign(answer.url); return; } // the work is over
      if (!answer.ok) { if (document.querySelector('[data-poll]')) location.reload(); return; }
      const fresh = new DOMParser().parseFromString(html.createHTML(await answer.text()), 'text/html');
      for (const old of document.querySelectorAll('[data-part]')) {
        const now = fresh.getElementById(old.id);
        if (!now || old.contains(document.activeElement) && document.activeElement !== document.body) continue;
        if (window.getSelection().toString() && old.contains(window.getSelection().anchorNode)) continue;
        for (const d of old.querySelectorAll('details[open][id]')) {
          const same = now.querySelector('#' + CSS.escape(d.id));
          if (same) same.open = true;
        }
        if (old.innerHTML !== now.innerHTML) old.replaceWith(document.importNode(now, true));
      }
      const nav = fresh.querySelector('.top nav ul');
      const mine = document.querySelector('.top nav ul');
      if (nav && mine && !mine.contains(document.activeElement) && nav.innerHTML !== mine.innerHTML) mine.replaceWith(document.importNode(nav, true));
      document.documentElement.dataset.refreshed = String(Number(document.documentElement.dataset.refreshed || 0) + 1);
    } catch { say('The daemon does not answer; trying again.'); } finally {
      loading = false;
      if (again) later();
    }
  };
  let timer = 0;
  const later = () => { clearTimeout(timer); timer = setTimeout(refresh, 700); };
  document.addEventListener('visibilitychange', () => { if (!document.hidden && again) later(); });

  const live = document.body.dataset.live;
  if (live && document.querySelector('[data-part]') && window.EventSource) {
    const source = new EventSource(live);
    let first = true;
    source.addEventListener('open', () => say('Live.'));
    source.addEventListener('error', () => say('Not live; trying again.'));
    source.addEventListener('journal', () => { if (first) { first = false; return; } later(); });
    window.addEventListener('pagehide', () => source.close());
    // Words such as "in 3 min" grow old by themselves.
    setInterval(later, 60000);
  }

  if (document.querySelector('[data-poll]')) setInterval(later, 1500);

  // Keys.
  let prefix = 0;
  const rows = () => [...document.querySelectorAll('[data-row]')];
  const move = (step) => {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((r) => r.classList.contains('here'));
    const next = all[Math.min(all.length - 1, Math.max(0, at + step))];
    all.forEach((r) => r.classList.toggle('here', r === next));
    const target = next.matches('a') ? next : next.querySelector('a[href]');
    if (target) target.focus({ preventScroll: true });
    next.scrollIntoView({ block: 'nearest' });
  };
  document.addEventListener('keydown', (e) => {
    const typing = e.target.closest('input, select, textarea');
    if (e.key === 'Escape' && typing) { e.target.blur(); return; }
    if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
    const now = Date.now();
    if (prefix && now - prefix < 1500) {
      prefix = 0;
      const to = document.querySelector('.top nav a[data-key="' + CSS.escape(e.key) + '"]');
      if (to) { e.preventDefault(); location.assign(to.href); }
      return;
    }
    switch (e.key) {
      case 'g': prefix = now; return;
      case '/': { const q = document.getElementById('q'); if (q) { e.preventDefault(); q.focus(); q.select(); } return; }
      case 'j': move(1); return;
      case 'k': move(-1); return;
      case 'n': { const next = document.querySelector('a[rel=next]'); if (next) location.assign(next.href); return; }
      case '?': location.assign('/keys'); return;
    }
  });
})();
