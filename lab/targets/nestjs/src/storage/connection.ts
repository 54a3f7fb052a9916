import { userInfo } from 'node:os';
import type { TypeOrmModuleOptions } from '@nestjs/typeorm';

/** What TypeORM is told for a URL. */
export function connection(
  url: string,
  poolSize: number,
): TypeOrmModuleOptions {
  const { protocol, hostname, port, username, password, pathname } = new URL(
    url,
  );
  switch (protocol) {
    case 'sqlite:':
      return {
        type: 'better-sqlite3',
        database: decodeURIComponent(pathname),
        timeout: 5000,
        prepareDatabase(database) {
          database.pragma('journal_mode = WAL');
          // The driver is built with NORMAL for WAL: what was acknowledged could be lost with the power.
          database.pragma('synchronous = FULL');
        },
      };
    case 'postgres:':
    case 'postgresql:':
      return { type: 'postgres', url, poolSize };
    case 'mysql:':
      return {
        type: 'mariadb',
        host: hostname,
        port: port ? Number(port) : 3306,
        username: decodeURIComponent(username) || userInfo().username,
        password: decodeURIComponent(password),
        database: decodeURIComponent(pathname.slice(1)),
        charset: 'utf8mb4_unicode_ci',
        poolSize,
      };
    default:
      throw new Error(
        'DATABASE_URL begins with sqlite:, postgres: or mysql:',
      );
  }
}
