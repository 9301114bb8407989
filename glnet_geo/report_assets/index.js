'use strict';

// Shows the cards whose name and state are asked for.
(() => {
  const name = document.getElementById('name');
  const state = document.getElementById('state');
  const cards = [...document.getElementById('cards').children];
  const said = document.getElementById('said');

  // Names of files may hold an umlaut as one character or as two.
  const folded = (text) => text.normalize('NFC').toLowerCase();

  const choose = () => {
    const wanted = folded(name.value.trim());
    let count = 0;
    for (const card of cards) {
      const { name: own, state: reached } = card.dataset;
      card.hidden = !folded(own).includes(wanted) || (state.value && reached !== state.value);
      count += card.hidden ? 0 : 1;
    }
    const all = cards.length.toLocaleString('en');
    said.textContent = `${count.toLocaleString('en')} of ${all} scenes are shown.`;
  };

  name.addEventListener('input', choose);
  state.addEventListener('input', choose);
})();
