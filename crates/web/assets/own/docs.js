// Swagger UI over the document beside this page, and a panel to sign in with. Tokens live in this page's memory alone.
//
// Which operations sign in and out is what the document says: `x-sign-in` at a security scheme names them by their
// `operationId`. Without it there is no panel.
'use strict';

const WORDS = {
  en: {
    links: 'Documentation',
    reference: 'Reference (Redoc)',
    panel: 'Sign in',
    email: 'E-mail',
    password: 'Password',
    signIn: 'Sign in',
    register: 'Make an account',
    toRegister: 'Make an account…',
    toSignIn: 'I have an account',
    signOut: 'Sign out',
    signedIn: 'Signed in as',
    signedOut: 'You are signed out.',
    ended: 'Your session has ended. Sign in again.',
    noAnswer: 'The server did not answer. Try again.',
    correct: 'Please correct this:',
    failed: 'It did not work: status',
    later: (seconds) => `Try again in ${seconds} s.`,
    noDocument: 'The document could not be read. Load the page again.',
  },
  ko: {
    links: '문서',
    reference: '레퍼런스 (Redoc)',
    panel: '로그인',
    email: '이메일',
    password: '비밀번호',
    signIn: '로그인',
    register: '계정 만들기',
    toRegister: '계정 만들기…',
    toSignIn: '이미 계정이 있습니다',
    signOut: '로그아웃',
    signedIn: '로그인됨:',
    signedOut: '로그아웃했습니다.',
    ended: '세션이 끝났습니다. 다시 로그인하세요.',
    noAnswer: '서버가 응답하지 않았습니다. 다시 시도하세요.',
    correct: '다음을 고쳐 주세요:',
    failed: '실패했습니다. 상태 코드',
    later: (seconds) => `${seconds}초 뒤에 다시 시도하세요.`,
    noDocument: '문서를 읽지 못했습니다. 페이지를 새로 고치세요.',
  },
};

(async () => {
  const isKorean = navigator.language.toLowerCase().startsWith('ko');
  const words = isKorean ? WORDS.ko : WORDS.en;
  if (isKorean) document.documentElement.lang = 'ko';
  const bar = document.getElementById('bar');

  /** An element with properties and children; text goes in as text. */
  function make(name, properties, ...children) {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  }

  const inside = make('div', { className: 'inside' });
  const links = make(
    'nav',
    { ariaLabel: words.links },
    make('a', { href: 'redoc' }, words.reference),
    make('a', { href: 'openapi.json' }, 'openapi.json'),
  );
  inside.append(links);
  bar.append(inside);

  let api;
  try {
    const answer = await fetch('openapi.json');
    if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
    api = await answer.json();
  } catch (error) {
    inside.append(make('p', { className: 'said bad', role: 'alert' }, `${words.noDocument} (${error.message})`));
    return;
  }

  // Where this page is, a proxy's prefix included.
  const here = new URL('.', location.href).href.replace(/\/$/, '');
  for (const server of api.servers ?? []) {
    if (server.url.startsWith('/')) server.url = here;
  }

  const ui = SwaggerUIBundle({
    spec: api,
    dom_id: '#swagger-ui',
    presets: [SwaggerUIBundle.presets.apis],
    layout: 'BaseLayout',
    deepLinking: true,
    displayRequestDuration: true,
    filter: true,
    persistAuthorization: false,
    // The badge would send the document to another host.
    validatorUrl: null,
  });

  const schemes = Object.entries(api.components?.securitySchemes ?? {});
  const [scheme, described] = schemes.find(([, scheme]) => scheme['x-sign-in']) ?? [];
  if (scheme) signInPanel(scheme, described['x-sign-in']);

  function signInPanel(scheme, names) {
    const operations = {};
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        for (const [role, id] of Object.entries(names)) {
          if (operation.operationId === id) operations[role] = { path, method: method.toUpperCase(), operation };
        }
      }
    }

    let session = null;
    let timer = 0;
    let isRegistering = false;

    const email = make('input', { type: 'email', autocomplete: 'username', required: true, name: 'email' });
    const password = make('input', { type: 'password', required: true, name: 'password' });
    const others = make('span', { hidden: true });
    const go = make('button', { type: 'submit' });
    const other = make('button', { type: 'button', className: 'plain', hidden: !operations.register });
    const form = make(
      'form',
      {},
      make('label', {}, words.email, email),
      make('label', {}, words.password, password),
      others,
      go,
      other,
    );
    const name = make('strong', {});
    const out = make('button', { type: 'button' }, words.signOut);
    const who = make('div', { className: 'who', hidden: true }, make('span', {}, `${words.signedIn} `, name), out);
    // A live region is there before it speaks, or screen readers miss its first words.
    const said = make('div', { className: 'said', role: 'status' });
    inside.append(make('section', { ariaLabel: words.panel }, form, who, said));
    const fields = registrationFields();
    show();

    /** What registering needs besides e-mail and password: the required texts of its body. */
    function registrationFields() {
      let schema = operations.register?.operation.requestBody?.content?.['application/json']?.schema ?? {};
      if (schema.$ref) schema = schema.$ref.slice(2).split('/').reduce((at, key) => at[key], api);
      const rest = (schema.required ?? []).filter((key) => key !== 'email' && key !== 'password');
      return rest.map((key) => {
        const label = key.replaceAll('_', ' ');
        const hint = schema.properties?.[key]?.description ?? '';
        const input = make('input', { type: 'text', name: key, title: hint });
        others.append(make('label', {}, label[0].toUpperCase() + label.slice(1), input));
        return input;
      });
    }

    function show() {
      form.hidden = session !== null;
      who.hidden = session === null;
      name.textContent = session?.email ?? '';
      others.hidden = !isRegistering;
      for (const field of fields) field.required = isRegistering;
      go.textContent = isRegistering ? words.register : words.signIn;
      other.textContent = isRegistering ? words.toSignIn : words.toRegister;
      password.autocomplete = isRegistering ? 'new-password' : 'current-password';
    }

    function say(isBad, ...content) {
      said.classList.toggle('bad', isBad);
      said.replaceChildren(...content);
    }

    /** Calls one of the operations; a refusal is thrown with what to show. */
    async function call(role, body, token) {
      const { path, method } = operations[role];
      const headers = {};
      if (body) headers['content-type'] = 'application/json';
      if (token) headers.authorization = `Bearer ${token}`;
      let answer;
      try {
        answer = await fetch(here + path, { method, headers, body: body && JSON.stringify(body) });
      } catch {
        throw { status: 0, shown: [words.noAnswer] };
      }
      const text = await answer.text().catch(() => '');
      let content = null;
      try {
        content = JSON.parse(text);
      } catch {
        // Not JSON: an answer without a body, or a proxy's page.
      }
      if (answer.ok) return content;
      const shown = [];
      if (content?.errors?.length) {
        const item = (fault) => make('li', {}, `${fault.pointer.replace(/^\//, '')}: ${fault.message}`);
        shown.push(words.correct, make('ul', {}, ...content.errors.map(item)));
      } else {
        shown.push(content?.detail ?? `${words.failed} ${answer.status}`);
      }
      const wait = answer.headers.get('retry-after');
      if (wait) shown.push(` ${words.later(wait)}`);
      throw { status: answer.status, shown };
    }

    function begin(email, tokens) {
      session = { email, access: tokens.access_token, refresh: tokens.refresh_token };
      ui.preauthorizeApiKey(scheme, session.access);
      const lasts = Number(tokens.expires_in) || 300;
      session.until = Date.now() + lasts * 1000;
      // Well before the end, so that no call goes out with a token that dies on its way.
      wake(Math.max(lasts - 60, lasts / 2) * 1000);
    }

    function wake(ms) {
      clearTimeout(timer);
      timer = setTimeout(renew, ms);
    }

    async function renew() {
      const was = session;
      if (!was || was.isRenewing || !operations.refresh) return;
      was.isRenewing = true;
      try {
        const tokens = await call('refresh', { refresh_token: was.refresh });
        // Signed out meanwhile: these tokens died with the session.
        if (session === was) begin(was.email, tokens);
      } catch (refusal) {
        was.isRenewing = false;
        if (session !== was) return;
        const isPassing = refusal.status === 0 || refusal.status === 429 || refusal.status >= 500;
        if (isPassing && Date.now() < was.until) {
          wake(5000);
        } else {
          end();
          say(true, words.ended);
        }
      }
    }

    function end() {
      clearTimeout(timer);
      session = null;
      ui.authActions.logout([scheme]);
      show();
    }

    // Timers sleep with the machine.
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden && session && Date.now() > session.until - 60_000) renew();
    });

    other.addEventListener('click', () => {
      isRegistering = !isRegistering;
      say(false);
      show();
      email.focus();
    });

    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      say(false);
      go.disabled = other.disabled = true;
      try {
        const account = { email: email.value, password: password.value };
        if (isRegistering) {
          const more = Object.fromEntries(fields.map((field) => [field.name, field.value]));
          await call('register', { ...account, ...more });
          isRegistering = false;
        }
        begin(account.email, await call('login', account));
        password.value = '';
        show();
        out.focus();
      } catch (refusal) {
        if (!refusal.shown) throw refusal;
        say(true, ...refusal.shown);
        show();
      } finally {
        go.disabled = other.disabled = false;
      }
    });

    out.addEventListener('click', async () => {
      out.disabled = true;
      try {
        if (operations.logout) await call('logout', null, session.access);
        end();
        say(false, words.signedOut);
        email.focus();
      } catch (refusal) {
        if (!refusal.shown) throw refusal;
        if (refusal.status === 401) {
          end();
          say(false, words.signedOut);
        } else {
          say(true, ...refusal.shown);
        }
      } finally {
        out.disabled = false;
      }
    });
  }
})();
