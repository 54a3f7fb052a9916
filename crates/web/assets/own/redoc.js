// Redoc over the document beside this page. Nothing is loaded from anywhere else.
'use strict';

(async () => {
  const nonce = document.currentScript.nonce;
  const place = document.getElementById('redoc');
  const isKorean = navigator.language.toLowerCase().startsWith('ko');
  if (isKorean) document.documentElement.lang = 'ko';
  try {
    const answer = await fetch('openapi.json');
    if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
    const api = await answer.json();
    // Where this page is, a proxy's prefix included.
    const here = new URL('.', location.href).href.replace(/\/$/, '');
    for (const server of api.servers ?? []) {
      if (server.url.startsWith('/')) server.url = here;
    }
    const fonts = 'system-ui, -apple-system, "Segoe UI", "Noto Sans KR", sans-serif';
    const code = 'ui-monospace, SFMono-Regular, Menlo, Consolas, monospace';
    Redoc.init(
      api,
      {
        nonce,
        hideLoading: true,
        downloadDefinitionUrl: 'openapi.json',
        expandResponses: '200,201',
        requiredPropsFirst: true,
        pathInMiddlePanel: true,
        theme: { typography: { fontFamily: fonts, headings: { fontFamily: fonts }, code: { fontFamily: code } } },
      },
      place,
    );
  } catch (error) {
    place.className = 'failed';
    place.setAttribute('role', 'alert');
    place.textContent = isKorean
      ? `문서를 읽지 못했습니다. 페이지를 새로 고쳐 보세요. (${error.message})`
      : `The document could not be read. Load the page again. (${error.message})`;
  }
})();
