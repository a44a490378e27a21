/** Before any schema exists: zod must not try `new Function`, which the page's Content-Security-Policy forbids and reports. */
import { config } from 'zod/v4/core';

config({ jitless: true });
