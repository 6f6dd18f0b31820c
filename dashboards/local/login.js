// The form for the key: its theme, and what was wrong with the last one.

import { $ } from './dom.js';
import { bindTheme } from './shell.js';

bindTheme();
$('login-error').hidden = new URLSearchParams(location.search).get('error') !== '1';
