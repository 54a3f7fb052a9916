// What people do with posts: of ten requests six read one, three list the newest, one writes one.
// The lab tells where and as whom: see `told` in lab/src/study/drivers.rs.
import http from 'k6/http';

const base = __ENV.LAB_URL;
const ids = open(__ENV.LAB_IDS).trim().split('\n');
const headers = { Authorization: `Bearer ${__ENV.LAB_TOKEN}` };
const written = JSON.stringify({
  title: 'From a scenario',
  body: 'What is written here is read again, and again.',
  published: true,
});

export const options = {
  vus: Number(__ENV.LAB_USERS),
  duration: `${__ENV.LAB_SECONDS}s`,
  discardResponseBodies: true,
};

export default function () {
  const chance = Math.random() * 10;
  if (chance < 6) {
    http.get(`${base}${__ENV.LAB_POSTS}/${ids[Math.floor(Math.random() * ids.length)]}`, { headers, tags: { name: 'read' } });
  } else if (chance < 9) {
    http.get(`${base}${__ENV.LAB_LIST}`, { headers, tags: { name: 'list' } });
  } else {
    const json = { ...headers, 'Content-Type': 'application/json' };
    http.post(`${base}${__ENV.LAB_POSTS}`, written, { headers: json, tags: { name: 'create' } });
  }
}
