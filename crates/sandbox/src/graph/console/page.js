// Meta's consoles: drawn anew when the part is opened and after each change.

const part = document.getElementById('console');
const body = document.getElementById('console-body');
const problem = document.getElementById('problem');
const EVENTS = ['APPROVED', 'REJECTED', 'PAUSED', 'DISABLED', 'PENDING', 'FLAGGED', 'IN_APPEAL', 'LIMIT_EXCEEDED', 'LOCKED', 'ARCHIVED', 'PENDING_DELETION', 'DELETED'];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

async function change(what) {
  problem.textContent = '';
  const response = await fetch('/sandbox/console', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(what) });
  if (!response.ok) problem.textContent = (await response.json()).error;
  await draw();
}

const button = (label, what) => element('button', { type: 'button', className: 'quiet', onclick: () => change(what()) }, label);
const tick = (label, checked, what) => element('label', { className: 'switch' },
  element('input', { type: 'checkbox', checked, onchange: ({ target }) => change(what(target.checked)) }), ` ${label}`);

const application = (app) => element('li', {},
  `App ${app.id} · secret ${app.secret} `, tick('Live', app.live, (on) => ({ do: 'live', app: app.id, on })));

function token(it) {
  const end = it.expires_at ? new Date(it.expires_at).toLocaleString() : 'never';
  return element('li', {}, element('code', {}, it.value), ` · ${it.kind} · ends ${end}${it.revoked ? ' · revoked' : ''} `,
    button(it.revoked ? 'Give back' : 'Revoke', () => ({ do: it.revoked ? 'restore' : 'revoke', token: it.value })));
}

function number(it) {
  const pin = element('input', { value: it.pin ?? '', placeholder: 'no PIN', size: 7, inputMode: 'numeric', ariaLabel: `Two-step PIN of ${it.digits}` });
  const save = (registered) => ({ do: 'number', number: it.id, registered, pin: pin.value || null });
  return element('li', {}, `+${it.digits} (${it.id}) `, tick('Registered', it.registered, save), ' ', pin, ' ',
    button('Set PIN', () => save(it.registered)));
}

function template(account, it) {
  const choice = element('select', { ariaLabel: `Status of ${it.name} ${it.language}`, onchange: ({ target }) => change({ do: 'template', account, name: it.name, language: it.language, event: target.value }) },
    ...EVENTS.map((event) => element('option', { selected: event === it.status }, event)));
  return element('li', {}, `${it.name} · ${it.language} `, choice);
}

const account = (it) => element('li', {}, `${it.name} (${it.id}) · ${it.subscribed.length ? `heard by ${it.subscribed.join(', ')}` : 'heard by nobody'}`,
  element('ul', {}, ...it.numbers.map(number)),
  element('details', {}, element('summary', {}, `${it.templates.length} templates`),
    element('ul', {}, ...it.templates.map((one) => template(it.id, one)))));

async function draw() {
  const state = await (await fetch('/sandbox/console')).json();
  body.replaceChildren(
    element('h3', {}, 'Applications'), element('ul', {}, ...state.apps.map(application)),
    element('h3', {}, 'Tokens'), element('ul', {}, ...state.tokens.map(token)),
    element('h3', {}, 'Accounts'), element('ul', {}, ...state.accounts.map(account)));
}

part.addEventListener('toggle', () => { if (part.open) draw(); });
