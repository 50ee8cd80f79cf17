// The sandbox phone: looks at /sandbox/state, which waits until something changed, and draws what it says.

const find = (id) => document.getElementById(id);
const TICKS = { accepted: '✓', sent: '✓', delivered: '✓✓', read: '✓✓', played: '✓✓', failed: '!' };
const TICK_WORDS = { accepted: 'on its way', sent: 'sent', delivered: 'delivered', read: 'read', played: 'listened to', failed: 'failed' };
const REACTIONS = ['👍', '❤️', '😂', '😮', '🙏'];
// The shortest pause between two looks, so that a flood does not keep the browser busy.
const PAUSE = 200;
const OUT_OF_REACH = 'The sandbox is out of reach.';

const view = { number: null, customer: null, state: null, quoted: null, calling: null, drawn: '', following: true, scrolled: 0 };

// --- talking to the sandbox ---------------------------------------------------------------------------------------

async function call(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.headers = { 'Content-Type': 'application/json' };
    options.body = JSON.stringify(body);
  }
  return finish(await fetch(path, options));
}

async function finish(response) {
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (!response.ok) throw new Error(answer?.error ?? `The sandbox answered ${response.status}.`);
  return answer;
}

// Runs what a click started and shows why it failed.
async function attempt(action) {
  try {
    find('problem').textContent = '';
    await action();
  } catch (error) {
    find('problem').textContent = error.message;
  }
}

const send = (message) => call('POST', '/sandbox/messages', { number: view.number, customer: view.customer, message });

let looking = null;

function look() {
  looking?.abort();
  looking = new AbortController();
  watch(looking.signal);
}

async function watch(signal) {
  let since = null;
  while (!signal.aborted) {
    const query = new URLSearchParams();
    if (view.number) query.set('number', view.number);
    if (view.customer) query.set('customer', view.customer);
    if (since !== null) query.set('since', since);
    let state;
    try {
      state = await finish(await fetch(`/sandbox/state?${query}`, { signal }));
    } catch {
      if (signal.aborted) return;
      find('problem').textContent = OUT_OF_REACH;
      since = null;
      await pause(2000);
      continue;
    }
    if (signal.aborted) return;
    since = state.version;
    draw(state);
    await pause(PAUSE);
  }
}

const pause = (time) => new Promise((done) => setTimeout(done, time));

// --- drawing ------------------------------------------------------------------------------------------------------

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (key in made && key !== 'list') made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const button = (label, action, attributes = {}) => element('button', { type: 'button', ...attributes, onclick: () => attempt(action) }, label);
const clock = (at) => new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
const initial = (name) => ([...(name || '?')][0] ?? '?').toUpperCase();

function draw(state) {
  // What went wrong with a click stays until the next click.
  if (find('problem').textContent === OUT_OF_REACH) find('problem').textContent = '';
  view.state = state;
  view.number = state.number;
  if (!view.customer && state.customers.length) {
    view.customer = state.customers[0].id;
    look();
    return;
  }
  if (state.customer) view.customer = state.customer.id;
  drawPeople(state);
  drawFaults(state);
  drawWebhooks(state);
  if (state.customer && state.thread) drawChat(state);
}

function drawPeople(state) {
  find('number-field').hidden = state.numbers.length < 2;
  find('number').replaceChildren(...state.numbers.map((number) =>
    element('option', { value: number.id, selected: number.id === state.number }, `+${number.digits} ${number.name}`)));
  replaceIfDifferent(find('customers'), state.customers.map((customer) => {
    const current = customer.id === view.customer;
    return element('li', {}, element('button', {
      type: 'button', 'aria-current': current ? 'true' : null, onclick: () => choose(customer.id),
    },
    element('span', { className: 'avatar', 'aria-hidden': 'true' }, initial(customer.name)),
    element('span', { className: 'who' },
      element('strong', {}, customer.name || customer.id),
      element('small', {}, customer.last ? lastLine(customer.last) : handle(customer)))));
  }));
  const links = state.links.map((link) => element('a', { href: link.url, target: '_blank', rel: 'noopener' }, link.label));
  replaceIfDifferent(find('links'), links);
}

const handle = (customer) => customer.phone ? `+${customer.phone}` : `phone hidden${customer.username ? `, @${customer.username}` : ''}`;
const lastLine = (last) => (last.direction === 'to_customer' ? '' : 'You: ') + (last.text ?? last.type);

// Keeps the keyboard's focus and the scroll position when nothing is different.
function replaceIfDifferent(parent, children) {
  const made = element('div', {}, ...children);
  if (made.innerHTML === parent.dataset.drawn) return false;
  parent.dataset.drawn = made.innerHTML;
  parent.replaceChildren(...children);
  return true;
}

function choose(customer) {
  view.customer = customer;
  quote(null);
  document.body.dataset.view = 'chat';
  look();
  find('text').focus();
}

function drawChat(state) {
  const { customer, thread } = state;
  const business = state.numbers.find((number) => number.id === state.number);
  find('avatar').textContent = initial(business?.name);
  find('chat-name').textContent = business?.name ?? 'Business';
  find('chat-about').textContent = `+${business?.digits ?? ''}, you are ${customer.name} (${handle(customer)})`;
  find('marketing').checked = thread.marketing_stopped;
  find('window-note').hidden = thread.window_open || !state.faults.window;
  find('typing').textContent = thread.typing ? 'The business is typing …' : '';
  const list = find('messages');
  const drawn = JSON.stringify([view.customer, thread]);
  if (drawn !== view.drawn) {
    const other = !view.drawn.startsWith(JSON.stringify([view.customer]).slice(0, -1));
    view.drawn = drawn;
    list.replaceChildren(...bubbles(thread));
    if (other) view.following = true;
    follow();
  }
  const unread = thread.messages.some((message) => message.direction === 'to_customer' && message.progress === 'delivered' && message.body.type !== 'reaction');
  if (unread && find('auto-read').checked && document.visibilityState === 'visible') {
    attempt(() => call('POST', '/sandbox/read', { number: view.number, customer: view.customer }));
  }
}

// Keeps the end in sight for whoever was there, also when a picture arrives later than its place.
function follow() {
  if (view.following) find('messages').scrollTop = find('messages').scrollHeight;
}

// Edits, removals and reactions are messages of their own; here they are put on what they are about.
function bubbles(thread) {
  const effects = new Map();
  const effect = (wamid) => effects.get(wamid) ?? effects.set(wamid, { reactions: {} }).get(wamid);
  for (const { body, direction, progress } of thread.messages) {
    if (progress === 'failed') continue;
    if (body.type === 'edit') effect(body.edit?.original_message_id).text = body.edit?.message?.text?.body;
    if (body.type === 'revoke') effect(body.revoke?.original_message_id).gone = true;
    if (body.type === 'reaction') effect(body.reaction?.message_id).reactions[direction] = body.reaction?.emoji ?? '';
  }
  const shown = thread.messages
    .filter(({ body, progress }) => !['edit', 'revoke', 'reaction'].includes(body.type) || progress === 'failed')
    .map((message) => bubble(message, effects.get(message.wamid) ?? { reactions: {} }, thread));
  if (thread.earlier) shown.unshift(element('li', { className: 'event' }, `${thread.earlier} earlier messages`));
  return shown;
}

function bubble(message, effect, thread) {
  const { body, direction, progress, error } = message;
  if (body.type === 'system') return element('li', { className: 'event' }, body.system?.body ?? 'System message');
  const mine = direction === 'from_customer';
  const reactions = Object.values(effect.reactions).filter(Boolean).join(' ');
  const classes = ['bubble', mine && 'mine', effect.gone && 'gone', reactions && 'reacted'].filter(Boolean).join(' ');
  const content = effect.gone ? ['You deleted this message.'] : contents(message, effect);
  return element('li', { className: classes },
    element('span', { className: 'hidden' }, mine ? 'You wrote: ' : 'The business wrote: '),
    quoted(body, thread),
    element('div', { className: 'content' }, ...content),
    error ? element('p', { className: 'failed' }, `Not delivered: ${error.code} ${error.details}`) : null,
    element('div', { className: 'meta' },
      effect.text && !effect.gone ? element('span', {}, 'edited') : null,
      element('time', {}, clock(message.at)),
      element('span', { className: `ticks ${progress}`, title: TICK_WORDS[progress] }, TICKS[progress] ?? ''),
      element('span', { className: 'hidden' }, TICK_WORDS[progress] ?? progress)),
    reactions ? element('span', { className: 'reaction' }, reactions) : null,
    tools(message, effect, mine));
}

function quoted(body, thread) {
  const id = body.context?.id ?? body.context?.message_id;
  if (!id) return body.context?.forwarded ? element('div', { className: 'quoted' }, 'Forwarded') : null;
  const about = thread.messages.find((message) => message.wamid === id);
  return element('div', { className: 'quoted' }, about ? summary(about) : 'An earlier message');
}

const summary = ({ body, file }) => body.text?.body ?? body[body.type]?.caption ?? file?.name ?? body.interactive?.body?.text ?? body.type;

function contents(message, effect) {
  const { body, file } = message;
  const type = body.type ?? 'text';
  const part = body[type] ?? {};
  switch (type) {
    case 'text': return [marked(effect.text ?? part.body ?? '')];
    case 'image': case 'video': case 'audio': case 'document': case 'sticker':
      return [shown(type, file, part, message), part.caption ? element('div', {}, marked(part.caption)) : null].filter(Boolean);
    case 'location': return [`📍 ${part.name ?? 'Location'}\n${part.address ? `${part.address}\n` : ''}${part.latitude}, ${part.longitude}`];
    case 'contacts': return [part.map((contact) => `👤 ${contact.name?.formatted_name ?? 'Contact'}\n${(contact.phones ?? []).map((phone) => phone.phone).join('\n')}`).join('\n')];
    case 'interactive': return interactive(message);
    case 'button': return [`▸ ${part.text}`];
    case 'order': return [`🛒 Order\n${(part.product_items ?? []).map((item) => `${item.quantity} × ${item.product_retailer_id}, ${item.item_price} ${item.currency}`).join('\n')}`];
    case 'template': return template(message);
    case 'unsupported': return [`Not passed on by WhatsApp: ${part.type ?? 'unknown'}`];
    default: return [`${type}: ${JSON.stringify(part)}`];
  }
}

// WhatsApp's own marks, as its apps show them: *bold*, _italic_, ~struck~ and ```fixed```, each around whole words.
const MARKS = [['```', 'code'], ['*', 'strong'], ['_', 'em'], ['~', 's']];
const MARKED = /(?<![\p{L}\p{N}])(?:```(?!\s)[^]+?```|([*_~])(?!\s)(?:(?!\1)[^\n])*?\S\1)(?![\p{L}\p{N}])/gu;

function marked(text) {
  const node = document.createDocumentFragment();
  let written = 0;
  for (const { 0: whole, index } of text.matchAll(MARKED)) {
    const [mark, name] = MARKS.find(([start]) => whole.startsWith(start));
    const inside = whole.slice(mark.length, -mark.length);
    node.append(text.slice(written, index), element(name, {}, name === 'code' ? inside : marked(inside)));
    written = index + whole.length;
  }
  node.append(text.slice(written));
  return node;
}

function shown(type, file, part, message) {
  if (!file) return element('span', {}, part.link ? `⏳ ${part.link}` : `A file (${type})`);
  const address = `/sandbox/files/${encodeURIComponent(file.id)}`;
  if (type === 'image' || type === 'sticker') return element('img', { src: address, alt: part.caption ?? type, className: type });
  if (type === 'video') return element('video', { src: address, controls: true });
  if (type === 'audio') {
    const played = () => message.direction === 'to_customer' && attempt(() => call('POST', '/sandbox/read', { wamid: message.wamid, progress: 'played' }));
    return element('audio', { src: address, controls: true, onplay: played });
  }
  const name = part.filename ?? file.name ?? 'file';
  return element('a', { href: address, download: name }, `📄 ${name} (${Math.ceil(file.size / 1024)} KB)`);
}

function interactive(message) {
  const part = message.body.interactive ?? {};
  const reply = part.button_reply ?? part.list_reply;
  if (reply) return [`▸ ${reply.title}`];
  const context = { from: digits(), id: message.wamid };
  const answer = (kind, value) => send({ type: 'interactive', context, interactive: { type: kind, [kind]: value } });
  const options = [];
  for (const { reply: option } of part.action?.buttons ?? []) options.push(button(option.title, () => answer('button_reply', option)));
  for (const section of part.action?.sections ?? []) {
    for (const row of section.rows ?? []) options.push(button(row.title, () => answer('list_reply', row)));
  }
  if (part.type === 'call_permission_request') {
    const allow = (values) => () => answer('call_permission_reply', { response_source: 'user_action', ...values });
    const week = () => Math.floor(Date.now() / 1000) + 604800;
    options.push(
      button('Allow calls for a week', () => allow({ response: 'accept', is_permanent: false, expiration_timestamp: week() })()),
      button('Always allow calls', allow({ response: 'accept', is_permanent: true })),
      button('Do not allow calls', allow({ response: 'reject' })));
  }
  const files = ['image', 'video', 'document'].filter((kind) => part.header?.[kind]?.link);
  const link = part.action?.parameters?.url;
  return [
    ...files.map((kind) => (message.file ? shown(kind, message.file, part.header[kind], message) : `⏳ ${part.header[kind].link}\n`)),
    part.header?.text ? element('strong', {}, `${part.header.text}\n`) : '',
    part.body?.text ?? (part.type === 'call_permission_request' ? 'May we call you?' : part.type ?? ''),
    part.footer?.text ? element('small', {}, `\n${part.footer.text}`) : '',
    element('div', { className: 'options' }, ...options,
      link ? element('span', {}, `🔗 ${part.action.parameters.display_text}: ${link}`) : null,
      part.type === 'voice_call' ? element('span', {}, `☎ ${part.action?.parameters?.display_text}`) : null),
  ];
}

function template(message) {
  const part = message.body.template ?? {};
  const values = (part.components ?? []).flatMap((component) => component.parameters ?? []).map((value) => value.text ?? value.payload ?? value.type);
  const quick = (part.components ?? []).filter((component) => component.sub_type === 'quick_reply');
  const context = { from: digits(), id: message.wamid };
  return [
    element('strong', {}, `Template ${part.name} (${part.language?.code})`),
    values.length ? `\n${values.join('\n')}` : '',
    message.file ? shown('document', message.file, {}, message) : '',
    element('div', { className: 'options' }, ...quick.map((component) => {
      const payload = component.parameters?.[0]?.payload ?? 'OK';
      return button(payload, () => send({ type: 'button', context, button: { payload, text: payload } }));
    })),
  ];
}

function tools(message, effect, mine) {
  if (effect.gone) return null;
  const id = message.wamid;
  const reacted = effect.reactions.from_customer;
  return element('div', { className: 'tools' },
    button('Answer', () => quote(message)),
    button('React', () => react(id)),
    reacted ? button('Take back', () => send({ type: 'reaction', reaction: { message_id: id } })) : null,
    mine && message.body.type === 'text' ? button('Edit', () => edit(message, effect)) : null,
    mine ? button('Delete', () => send({ type: 'revoke', revoke: { original_message_id: id } })) : null);
}

function drawFaults(state) {
  const { faults } = state;
  const label = (rule) => {
    const kind = faults.kinds.find((candidate) => candidate.name === rule.fault);
    const value = rule.value === null ? '' : kind?.unit === 'code' ? ` (${rule.value})` : ` ${rule.value} ${kind?.unit ?? ''}`;
    const whom = [rule.customer, rule.phone_number_id].filter(Boolean).join(' at ');
    return `${kind?.label ?? rule.fault}${value}, ${rule.times === 'always' ? 'always' : `next ${rule.times}`}${whom ? `, for ${whom}` : ''}`;
  };
  const off = (rule) => call('POST', '/sandbox/faults', { fault: rule.fault, times: 'off', number: rule.phone_number_id, customer: rule.customer });
  replaceIfDifferent(find('rules'), faults.rules.map((rule) =>
    element('li', {}, label(rule), button('Off', () => off(rule), { className: 'quiet' }))));

  const kinds = find('kinds');
  if (!kinds.children.length) kinds.append(...faults.kinds.map(faultRow), ...ruleRows());
  for (const kind of faults.kinds) {
    find(`count-${kind.name}`).textContent = kind.count ? `${kind.count} so far` : '';
  }
  for (const rule of ['window', 'pair_limit', 'number_limit']) find(`rule-${rule}`).checked = faults[rule];
}

function faultRow(kind) {
  const value = kind.unit ? element('input', { type: 'number', min: 1, value: kind.value, 'aria-label': `${kind.label}: ${kind.unit}` }) : null;
  const set = (always) => () => call('POST', '/sandbox/faults', {
    fault: kind.name,
    times: always ? 'always' : Math.max(1, Number(find('times').value) || 1),
    value: value ? Number(value.value) : undefined,
    customer: find('only-here').checked ? view.customer : undefined,
  });
  return element('li', {}, kind.label,
    element('div', { className: 'row' }, value, kind.unit ? element('span', {}, kind.unit) : null,
      button('Next', set(false), { className: 'quiet', 'aria-label': `${kind.label}: the next times` }),
      button('Always', set(true), { className: 'quiet', 'aria-label': `${kind.label}: always` }),
      element('span', { className: 'count', id: `count-${kind.name}` })));
}

function ruleRows() {
  const rules = [
    ['window', 'After 24 hours only templates arrive (131047)'],
    ['pair_limit', 'One message in 6 seconds to a customer (131056)'],
    ['number_limit', '80 messages a second from a number (130429)'],
  ];
  return rules.map(([name, label]) => {
    const box = element('input', { type: 'checkbox', id: `rule-${name}` });
    box.addEventListener('change', () => attempt(() => call('POST', '/sandbox/faults', { [name]: box.checked })));
    return element('li', {}, element('label', { className: 'switch' }, box, label));
  });
}

function drawWebhooks(state) {
  const { counters } = state;
  find('callback').textContent = state.callback ? `They go to ${state.callback}` : 'No callback is set yet; they wait.';
  find('counters').textContent = `${counters.updates_accepted} delivered, ${state.waiting} waiting, ${counters.requests} calls of the business`;
  replaceIfDifferent(find('log'), state.log.map((entry) => element('tr', {},
    element('td', {}, new Date(entry.at).toLocaleTimeString()),
    element('td', {}, entry.attempt ? `${entry.about} (try ${entry.attempt + 1})` : entry.about),
    element('td', { className: entry.status === 200 ? '' : 'bad' }, entry.status ?? 'no answer'))));
}

// --- writing ------------------------------------------------------------------------------------------------------

const digits = () => view.state?.numbers.find((number) => number.id === view.number)?.digits ?? '';

function quote(message) {
  view.quoted = message;
  find('quote').hidden = !message;
  find('quote-text').textContent = message ? summary(message) : '';
  if (message) find('text').focus();
}

function withQuote(message) {
  if (!view.quoted) return message;
  const from = view.quoted.direction === 'to_customer' ? digits() : view.state?.customer?.phone ?? undefined;
  const context = { from, id: view.quoted.wamid };
  quote(null);
  return { ...message, context };
}

async function sendText() {
  const text = find('text').value.trim();
  if (!text) return;
  await send(withQuote({ type: 'text', text: { body: text } }));
  find('text').value = '';
}

async function upload(file) {
  const query = new URLSearchParams({ type: file.type || 'application/octet-stream', name: file.name });
  const response = await fetch(`/sandbox/files?${query}`, { method: 'POST', headers: { 'Content-Type': 'application/octet-stream' }, body: file });
  return (await finish(response)).id;
}

function kindOf(file, wanted) {
  if (wanted === 'voice') return 'audio';
  if (wanted) return wanted;
  const [family] = file.type.split('/');
  if (file.type === 'image/webp') return 'sticker';
  return ['image', 'video', 'audio'].includes(family) ? family : 'document';
}

async function sendFile(file, wanted) {
  const kind = kindOf(file, wanted);
  const part = { id: await upload(file) };
  const caption = find('text').value.trim();
  if (caption && !['audio', 'sticker'].includes(kind)) {
    part.caption = caption;
    find('text').value = '';
  }
  if (kind === 'document') part.filename = file.name;
  if (kind === 'audio') part.voice = wanted === 'voice';
  if (kind === 'sticker') part.animated = false;
  await send(withQuote({ type: kind, [kind]: part }));
}

function pick(wanted, accept) {
  const input = find('file');
  input.dataset.wanted = wanted ?? '';
  input.accept = accept ?? '';
  input.click();
}

// --- dialogs ------------------------------------------------------------------------------------------------------

// Asks for the fields and runs the action with what was entered.
function ask(title, fields, action, verb = 'Send') {
  find('dialog-title').textContent = title;
  find('dialog-ok').textContent = verb;
  find('dialog-ok').hidden = false;
  const inputs = fields.map(([name, , value, kind]) => element(kind === 'long' ? 'textarea' : 'input', { name, value: value ?? '', rows: kind === 'long' ? 10 : undefined }));
  find('dialog-body').replaceChildren(...fields.map(([, label], index) => element('label', { className: 'field' }, label, inputs[index])));
  const form = find('dialog-form');
  form.onsubmit = (event) => {
    event.preventDefault();
    find('dialog').close();
    attempt(() => action(Object.fromEntries(inputs.map((input) => [input.name, input.value]))));
  };
  if (!find('dialog').open) find('dialog').showModal();
  inputs[0]?.focus();
}

function offer(title, choices) {
  find('dialog-title').textContent = title;
  find('dialog-ok').hidden = true;
  find('dialog-body').replaceChildren(element('div', { className: 'choices' }, ...choices.map(([label, action]) =>
    button(label, async () => { find('dialog').close(); await action(); }, { className: 'quiet' }))));
  find('dialog-form').onsubmit = (event) => event.preventDefault();
  if (!find('dialog').open) find('dialog').showModal();
}

const react = (id) => offer('React with', REACTIONS.map((emoji) => [emoji, () => send({ type: 'reaction', reaction: { message_id: id, emoji } })]));

const edit = (message, effect) => ask('Edit the message', [['body', 'New text', effect.text ?? message.body.text?.body]], ({ body }) =>
  send({ type: 'edit', edit: { original_message_id: message.wamid, message: { type: 'text', text: { body } } } }));

const withNumber = (text) => Number(String(text).replace(',', '.')) || 0;

async function endCall(end, extra) {
  if (!view.calling) throw new Error('There is no call. Choose Call first.');
  await call('POST', '/sandbox/calls/end', { call: view.calling, end, ...extra });
  view.calling = null;
}

async function placeCall(byBusiness) {
  const answer = await call('POST', '/sandbox/calls', { number: view.number, customer: view.customer, by_business: byBusiness });
  view.calling = answer.call;
}

const KINDS = [
  ['Call the business', () => attempt(() => placeCall(false))],
  ['Be called by the business', () => attempt(() => placeCall(true))],
  ['End the call after a talk', () => ask('The call ends', [['seconds', 'Seconds', '42']], (it) => endCall('answered', { seconds: Number(it.seconds) }), 'End')],
  ['End the call: nobody took it', () => attempt(() => endCall('missed'))],
  ['End the call: declined', () => attempt(() => endCall('declined'))],
  ['End the call: failed', () => attempt(() => endCall('failed', { code: 138020 }))],
  ['Allow calls', () => send({ type: 'interactive', interactive: { type: 'call_permission_reply', call_permission_reply: { response: 'accept', is_permanent: false, expiration_timestamp: Math.floor(Date.now() / 1000) + 604800, response_source: 'user_action' } } })],
  ['Photo', () => pick('image', 'image/jpeg,image/png')],
  ['Video', () => pick('video', 'video/mp4,video/3gpp')],
  ['Voice note', () => pick('voice', 'audio/*')],
  ['Audio file', () => pick('audio', 'audio/*')],
  ['Document', () => pick('document')],
  ['Sticker', () => pick('sticker', 'image/webp')],
  ['Location', () => ask('Location', [['name', 'Name', 'Fernsehturm'], ['address', 'Address', 'Panoramastr. 1A, Berlin'], ['latitude', 'Latitude', '52.5208'], ['longitude', 'Longitude', '13.4095']], (it) =>
    send(withQuote({ type: 'location', location: { name: it.name, address: it.address, latitude: withNumber(it.latitude), longitude: withNumber(it.longitude) } })))],
  ['Contact', () => ask('Contact', [['name', 'Name', 'Max Muster'], ['phone', 'Phone', '+49 1575 5500001']], (it) => {
    const [first, ...rest] = it.name.split(' ');
    return send(withQuote({ type: 'contacts', contacts: [{ name: { formatted_name: it.name, first_name: first, last_name: rest.join(' ') }, phones: [{ phone: it.phone, wa_id: it.phone.replace(/\D/g, ''), type: 'CELL' }] }] }));
  })],
  ['Order', () => ask('Order', [['article', 'Article', 'SKU-7'], ['quantity', 'Quantity', '2'], ['price', 'Price', '19.9'], ['currency', 'Currency', 'EUR']], (it) =>
    send({ type: 'order', order: { catalog_id: '354300000000001', text: '', product_items: [{ product_retailer_id: it.article, quantity: withNumber(it.quantity), item_price: withNumber(it.price), currency: it.currency }] } }))],
  ['Reply button', () => ask('Tap on a reply button', [['title', 'Button', 'Yes'], ['id', 'Id', 'yes-1']], (it) =>
    send(withQuote({ type: 'interactive', interactive: { type: 'button_reply', button_reply: { id: it.id, title: it.title } } })))],
  ['List row', () => ask('Row of a list', [['title', 'Row', 'Tue 14:00'], ['description', 'Description', 'Branch Mitte'], ['id', 'Id', 'slot-3']], (it) =>
    send(withQuote({ type: 'interactive', interactive: { type: 'list_reply', list_reply: it } })))],
  ['Template button', () => ask('Tap on a template’s button', [['text', 'Button', 'Unsubscribe'], ['payload', 'Payload', 'STOP']], (it) =>
    send(withQuote({ type: 'button', button: { payload: it.payload, text: it.text } })))],
  ['From an advertisement', () => ask('First message after an advertisement', [['body', 'Text', 'More information?'], ['headline', 'Headline of the advertisement', 'Summer sale']], (it) =>
    send({ type: 'text', text: { body: it.body }, referral: { source_url: 'https://fb.me/sandbox', source_id: '120300000000001', source_type: 'ad', headline: it.headline, body: 'Only this week', media_type: 'image', image_url: 'https://scontent.example/ad.jpg', ctwa_clid: 'ARAkSandbox' } }))],
  ['Forwarded text', () => ask('Forwarded text', [['body', 'Text', 'Have you seen this?']], (it) => send({ type: 'text', text: { body: it.body }, context: { forwarded: true } }))],
  ['Poll (not passed on)', () => send({ type: 'unsupported', unsupported: { type: 'poll_creation' }, errors: [{ code: 131051, title: 'Message type unknown', message: 'Message type unknown', error_data: { details: 'Message type is currently not supported.' } }] })],
  ['Change of number', () => ask('The customer takes another number', [['phone', 'New phone', '4915755507777']], async (it) => {
    const answer = await call('POST', '/sandbox/number-change', { number: view.number, customer: view.customer, phone: it.phone });
    choose(answer.customer.id);
  }, 'Change')],
  ['Raw JSON', () => ask('Any message', [['json', 'The part of the message that depends on its type', '{"type": "text", "text": {"body": "Hi"}}', 'long']], (it) => send(JSON.parse(it.json)))],
];

// --- wiring -------------------------------------------------------------------------------------------------------

document.body.dataset.view = 'people';
find('messages').addEventListener('scroll', ({ target }) => {
  const atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 60;
  view.following = atEnd || (view.following && target.scrollTop >= view.scrolled);
  view.scrolled = target.scrollTop;
});
find('messages').addEventListener('load', follow, true);
find('composer').addEventListener('submit', (event) => { event.preventDefault(); attempt(sendText); });
find('text').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  attempt(sendText);
});
find('attach').addEventListener('click', () => pick());
find('file').addEventListener('change', () => {
  const input = find('file');
  const [file] = input.files;
  const wanted = input.dataset.wanted || undefined;
  if (file) attempt(() => sendFile(file, wanted).finally(() => { input.value = ''; }));
});
find('more').addEventListener('click', () => offer('What do you want to send?', KINDS));
find('marketing').addEventListener('change', ({ target }) => attempt(() =>
  call('POST', '/sandbox/marketing', { number: view.number, customer: view.customer, stop: target.checked })));
find('quote-off').addEventListener('click', () => quote(null));
find('back').addEventListener('click', () => { document.body.dataset.view = 'people'; });
find('dialog-cancel').addEventListener('click', () => find('dialog').close());
find('number').addEventListener('change', (event) => { view.number = event.target.value; look(); });
find('clear-faults').addEventListener('click', () => attempt(() => call('DELETE', '/sandbox/faults')));
find('retry').addEventListener('click', () => attempt(() => call('POST', '/sandbox/retry', {})));
find('add-customer').addEventListener('click', () => ask('Add a customer', [['name', 'Name'], ['phone', 'Phone (empty: hidden behind a username)'], ['username', 'Username']], async (it) => {
  const customer = await call('POST', '/sandbox/customers', it);
  choose(customer.id);
}, 'Add'));
look();
